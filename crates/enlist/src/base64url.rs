//! base64url without padding (RFC 4648 section 5), the one spelling of each byte string.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Encodes without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes strictly: the URL alphabet only, no padding, no white space, unused bits zero.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes exactly `N` bytes.
pub(crate) fn decode_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    // The length is known before decoding, so an absurd field costs nothing.
    if text.len() != (N * 8).div_ceil(6) {
        return None;
    }
    decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_only() {
        assert_eq!(decode_exact::<1>("BQ"), Some([5]));
        for other in ["BR", "BQ==", "BQ=", " BQ", "BQ\n", "B", "", "BQA", "B+", "B/"] {
            assert_eq!(decode_exact::<1>(other), None, "{other:?}");
        }
        assert_eq!(decode_exact::<4>("x6g6tA"), Some([0xc7, 0xa8, 0x3a, 0xb4]));
        assert_eq!(decode_exact::<3>("AAAA"), Some([0; 3]));
        assert_eq!(encode([0xfb, 0xff]), "-_8");
    }
}
