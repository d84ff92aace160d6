//! Where the protocol version travels. Nothing public says so: everything here is ASSUMED.

use crate::reply::{Reason, Refusal};

/// The form field that may carry the version.
pub const VERSION_FIELD: &str = "interop_version";
/// The request header that may carry the version.
pub const VERSION_HEADER: &str = "X-Interop-Version";
/// The product of `User-Agent` that may carry the version, as in `WhatsAppInterop/1`.
pub const VERSION_PRODUCT: &str = "WhatsAppInterop";

/// The places outside the form where a client may state its protocol version.
#[derive(Debug, Clone, Copy, Default)]
pub struct VersionHints<'a> {
    /// Value of [`VERSION_HEADER`].
    pub header: Option<&'a str>,
    /// Value of `User-Agent`.
    pub user_agent: Option<&'a str>,
}

/// The version of a client: form field, then header, then product token; 1 when it says nothing, as the published
/// example does.
pub(crate) fn client_version(field: Option<&str>, hints: VersionHints<'_>) -> Result<u32, Refusal> {
    let product = || {
        let products = hints.user_agent?.split_ascii_whitespace();
        products.filter_map(|word| word.split_once('/')).find(|(name, _)| *name == VERSION_PRODUCT)
    };
    match field.or(hints.header).or_else(|| product().map(|(_, version)| version)) {
        None => Ok(1),
        Some(text) => positive(text).ok_or_else(|| {
            Refusal::new(Reason::BadParam)
                .param(VERSION_FIELD)
                .detail("the protocol version is no positive integer")
        }),
    }
}

/// A positive decimal integer without sign or leading zero; what exceeds 32 bits counts as the highest version.
fn positive(text: &str) -> Option<u32> {
    crate::ids::decimal(text, text.len().min(19)).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_order() {
        let hints = VersionHints { header: Some("3"), user_agent: Some("curl/8.5 WhatsAppInterop/4 (x)") };
        assert_eq!(client_version(Some("2"), hints).unwrap(), 2);
        assert_eq!(client_version(None, hints).unwrap(), 3);
        assert_eq!(client_version(None, VersionHints { header: None, ..hints }).unwrap(), 4);
        assert_eq!(client_version(None, VersionHints::default()).unwrap(), 1);
        let curl = VersionHints { header: None, user_agent: Some("curl/8.5") };
        assert_eq!(client_version(None, curl).unwrap(), 1);
        for bad in ["", "0", "-1", "+1", "1.0", "one", " 1", "01", "99999999999999999999"] {
            let refusal = client_version(Some(bad), VersionHints::default()).unwrap_err();
            assert_eq!(refusal.reason, Reason::BadParam, "{bad}");
            assert_eq!(refusal.param.as_deref(), Some(VERSION_FIELD));
        }
        assert_eq!(client_version(Some("9999999999999"), VersionHints::default()).unwrap(), u32::MAX);
    }
}
