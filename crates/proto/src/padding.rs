//! Padding of the plaintext in `<enc v="2">` (rule D1, PEERS): N bytes of value N at the end.

use rand_core::CryptoRng;

/// How much padding a sender adds: 1 to 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PadLen(u8);

impl PadLen {
    /// `length` bytes, if it is 1 to 16.
    #[must_use]
    pub fn new(length: u8) -> Option<Self> {
        (1..=16).contains(&length).then_some(Self(length))
    }

    /// A uniform choice.
    #[must_use]
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut byte = [0];
        rng.fill_bytes(&mut byte);
        Self((byte[0] & 15) + 1)
    }

    /// The number of bytes, 1 to 16.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Adds padding of a uniform length of 1 to 16 bytes.
///
/// ```
/// use landbridge_proto::padding;
///
/// let mut message = b"\x0a\x05Hello".to_vec();
/// padding::pad(&mut message, &mut rand::rng());
/// assert_eq!(padding::unpad(&message)?, b"\x0a\x05Hello");
/// # Ok::<(), padding::PaddingError>(())
/// ```
pub fn pad<R: CryptoRng + ?Sized>(message: &mut Vec<u8>, rng: &mut R) {
    pad_with(message, PadLen::random(rng));
}

/// Adds padding of a chosen length.
pub fn pad_with(message: &mut Vec<u8>, length: PadLen) {
    message.resize(message.len() + usize::from(length.0), length.0);
}

/// Takes the padding off. Any well-formed padding is accepted, also a longer one than senders use.
///
/// # Errors
/// [`PaddingError`] if the input is empty, says 0 or more than there is, or the bytes differ.
pub fn unpad(padded: &[u8]) -> Result<&[u8], PaddingError> {
    let &last = padded.last().ok_or(PaddingError::Empty)?;
    if last == 0 {
        return Err(PaddingError::Zero);
    }
    let keep = padded
        .len()
        .checked_sub(usize::from(last))
        .ok_or(PaddingError::TooLong { padding: last, length: padded.len() })?;
    let (plain, padding) = padded.split_at(keep);
    if padding.iter().any(|byte| *byte != last) {
        return Err(PaddingError::Uneven { padding: last });
    }
    Ok(plain)
}

/// Why a decrypted plaintext has no padding that could be taken off (rule D1). The message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PaddingError {
    /// No bytes at all.
    #[error("plaintext is empty")]
    Empty,
    /// The last byte is 0.
    #[error("padding has length 0")]
    Zero,
    /// More padding than bytes.
    #[error("padding of {padding} bytes in a plaintext of {length}")]
    TooLong {
        /// What the last byte says.
        padding: u8,
        /// Length of the plaintext with padding.
        length: usize,
    },
    /// Not all padding bytes have the value of the last.
    #[error("padding of {padding} bytes is uneven")]
    Uneven {
        /// What the last byte says.
        padding: u8,
    },
}
