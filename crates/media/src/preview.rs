//! What a message shows before a file is fetched: the waveform of a voice note, the size and thumbnail of a picture.

use thiserror::Error;

/// Samples of a waveform (PEERS).
pub const WAVEFORM: usize = 64;
/// Longest thumbnail inside a message, in bytes (ASSUMED).
pub const THUMBNAIL: usize = 65_536;

/// The waveform of a voice note, for the message's field: 64 loudnesses from 0 to 100 (PEERS), of which the loudest is
/// 100. `samples` is the whole sound, one channel, at any rate.
///
/// ```
/// let mut sound = vec![0_i16; 48_000];
/// sound[24_000..].fill(-20_000); // silence, and then a noise
/// let waveform = landbridge_media::waveform(&sound);
/// assert_eq!((waveform[0], waveform[63]), (0, 100));
/// ```
#[must_use]
pub fn waveform(samples: &[i16]) -> [u8; WAVEFORM] {
    let mut means = [0_u64; WAVEFORM];
    for (index, mean) in means.iter_mut().enumerate() {
        // 128 bits, so that no length overflows; at most `samples.len()`, so it fits.
        let bound = |part: usize| (part as u128 * samples.len() as u128 / WAVEFORM as u128) as usize;
        let part = &samples[bound(index)..bound(index + 1)];
        let sum: u64 = part.iter().map(|sample| u64::from(sample.unsigned_abs())).sum();
        // In 256ths, so that quiet sounds keep their shape.
        *mean = sum.saturating_mul(256).checked_div(part.len() as u64).unwrap_or_default();
    }
    let loudest = means.iter().copied().max().unwrap_or_default();
    // Not above 100, as no part is louder than the loudest.
    means.map(|mean| (mean * 100).checked_div(loudest).unwrap_or_default() as u8)
}

/// The format and size of a picture, read from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// The format.
    pub format: PictureFormat,
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// The formats that a message's preview may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PictureFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

/// Why bytes are no thumbnail (rule V8).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadThumbnail {
    /// More than 65,536 bytes.
    #[error("a thumbnail of {got} bytes is too large")]
    TooLarge {
        /// Bytes it has.
        got: usize,
    },
    /// Neither JPEG nor PNG, or no size in its header.
    #[error("the thumbnail is neither JPEG nor PNG")]
    Format,
}

/// Checks what is to be put into a message's thumbnail field. Nothing is decoded.
///
/// # Errors
///
/// [`BadThumbnail`], with which a receiver would drop it.
pub fn check_thumbnail(bytes: &[u8]) -> Result<Picture, BadThumbnail> {
    if bytes.len() > THUMBNAIL {
        return Err(BadThumbnail::TooLarge { got: bytes.len() });
    }
    picture(bytes).ok_or(BadThumbnail::Format)
}

/// Format and size of a JPEG or PNG picture, for the fields `width` and `height`; `None` for anything else. The first
/// 64 KiB of a file are enough but for freaks. Nothing is decoded.
#[must_use]
pub fn picture(bytes: &[u8]) -> Option<Picture> {
    if let Some(rest) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") {
        let header = rest.get(4..)?.strip_prefix(b"IHDR")?;
        let (width, rest) = header.split_first_chunk()?;
        let (height, _) = rest.split_first_chunk()?;
        let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
        return Some(Picture { format: PictureFormat::Png, width, height });
    }
    jpeg(bytes.strip_prefix(b"\xff\xd8")?)
}

/// Walks the segments behind the first marker up to the frame header (ITU T.81, B.2.2).
fn jpeg(mut rest: &[u8]) -> Option<Picture> {
    loop {
        let (marker, after) = rest.strip_prefix(b"\xff")?.split_first()?;
        match marker {
            0xff => rest = &rest[1..],
            // A frame header; the numbers left out are tables and extensions that lie among them.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let [_, _, _precision, h1, h0, w1, w0] = *after.first_chunk::<7>()?;
                let (width, height) =
                    (u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
                return Some(Picture { format: PictureFormat::Jpeg, width, height });
            }
            // The end, or pixels before a size.
            0xd9 | 0xda => return None,
            _ => {
                let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
                rest = after.get(length.max(2)..)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waveforms_are_even_and_bounded() {
        assert_eq!(waveform(&[]), [0; WAVEFORM]);
        assert_eq!(waveform(&[0; 1000]), [0; WAVEFORM]);
        assert_eq!(waveform(&[i16::MIN; 1000]), [100; WAVEFORM]);
        let quiet: Vec<i16> = (0..6400).map(|n| i16::from(n >= 3200)).collect();
        assert_eq!(waveform(&quiet)[31..33], [0, 100]);
    }

    proptest! {
        #[test]
        fn waveforms_stay_within_bounds(samples in proptest::collection::vec(any::<i16>(), 0..500)) {
            let waveform = waveform(&samples);
            prop_assert!(waveform.iter().all(|sample| *sample <= 100));
            if samples.len() >= WAVEFORM && samples.iter().any(|sample| *sample != 0) {
                prop_assert!(waveform.contains(&100));
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), png: bool) {
            let head: &[u8] = if png { b"\x89PNG\r\n\x1a\n" } else { b"\xff\xd8\xff" };
            let _ = picture(&bytes);
            bytes.splice(0..0, head.iter().copied());
            let _ = picture(&bytes);
        }
    }

    #[test]
    fn sizes_are_read() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\x02\0\0\0\x40";
        assert_eq!(picture(png), Some(Picture { format: PictureFormat::Png, width: 258, height: 64 }));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc4\0\x03z\xff\xc2\0\x11\x08\0\x40\x01\x02\x03";
        let found = Picture { format: PictureFormat::Jpeg, width: 258, height: 64 };
        assert_eq!(check_thumbnail(jpeg), Ok(found));
        for cut in 0..jpeg.len() - 1 {
            assert_eq!(picture(&jpeg[..cut]), None, "{cut}");
        }
        assert_eq!(picture(b"GIF89a"), None);
        assert_eq!(check_thumbnail(&[0xff; 65_537]), Err(BadThumbnail::TooLarge { got: 65_537 }));
    }
}
