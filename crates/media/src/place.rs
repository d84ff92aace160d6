//! Where files lie.

use core::fmt;
use core::str::FromStr;

use rand_core::CryptoRng;
use thiserror::Error;

/// Longest path that is taken, in bytes (ASSUMED).
const LONGEST_PATH: usize = 2048;
/// What a partner's files lie under, on WhatsApp's media server (SEED).
const INTEROP: &str = "/interop/whatsapp/download/";

/// Names a file on a partner's server: 22 to 86 letters, digits, `-` and `_`.
///
/// Whoever knows it can fetch the file, as WhatsApp does without any other proof (SEED), so it is long, random, and
/// printed only up to its sixth letter.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StorageReference(String);

/// Why a text is no storage reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a storage reference has 22 to 86 letters, digits, - and _")]
#[non_exhaustive]
pub struct BadReference;

impl StorageReference {
    /// A new one: 32 random bytes in base64url, 43 letters (ASSUMED).
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let letters = bytes.chunks(3).flat_map(|group| {
            let wide = group.iter().zip([16, 8, 0]).fold(0, |wide, (byte, by)| wide | u32::from(*byte) << by);
            let letter = move |by: u32| char::from(LETTERS[(wide >> by) as usize % LETTERS.len()]);
            [18, 12, 6, 0].into_iter().take(group.len() + 1).map(letter)
        });
        Self(letters.collect())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StorageReference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if letters && (22..=86).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(BadReference) }
    }
}

impl fmt::Debug for StorageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorageReference({}…)", self.0.get(..6).unwrap_or_default())
    }
}

/// The path of a file on WhatsApp's media server, the `directPath` of a message. Its bytes are used unchanged, query
/// included (SEED). Printed only up to its query, and to the sixth letter of a reference.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DownloadPath(String);

/// Why a text is not taken for a path (rule V7, ASSUMED).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadPath {
    /// More than 2,048 bytes.
    #[error("the path is longer than 2048 bytes")]
    TooLong,
    /// It does not begin with exactly one slash, so it may name another host.
    #[error("the path does not begin with exactly one slash")]
    NotAbsolute,
    /// A character that is not visible ASCII, a backslash or a `#`.
    #[error("the path has a character at byte {at} that no path may have")]
    Character {
        /// Where it stands.
        at: usize,
    },
    /// A segment `.` or `..`, perhaps percent-encoded.
    #[error("the path has a dot segment")]
    DotSegment,
}

impl DownloadPath {
    /// The path that a message for WhatsApp carries: `/interop/whatsapp/download/{integrator}/{reference}/` (SEED).
    #[must_use]
    pub fn of_partner(integrator: u32, reference: &StorageReference) -> Self {
        Self(format!("{INTEROP}{integrator}/{}/", reference.as_str()))
    }

    /// Integrator and reference, if it is the path of a partner's file. The last slash may be missing, and what follows
    /// it is ignored (PEERS append a query to it, or something that would be one).
    #[must_use]
    pub fn partner(&self) -> Option<(u32, StorageReference)> {
        let (integrator, rest) = self.0.strip_prefix(INTEROP)?.split_once('/')?;
        let digits = integrator.bytes().all(|byte| byte.is_ascii_digit()) && !integrator.starts_with('0');
        let reference = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).next()?;
        Some((integrator.parse().ok().filter(|_| digits)?, reference.parse().ok()?))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL below `base`, such as `https://mmg.whatsapp.net`: the two joined with one slash, nothing re-encoded
    /// (SEED).
    #[must_use]
    pub fn url(&self, base: &str) -> String {
        format!("{}{}", base.trim_end_matches('/'), self.0)
    }
}

impl FromStr for DownloadPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        if text.len() > LONGEST_PATH {
            return Err(BadPath::TooLong);
        }
        let forbidden = |byte: u8| !(0x21..=0x7e).contains(&byte) || byte == b'#' || byte == b'\\';
        if let Some(at) = text.bytes().position(forbidden) {
            return Err(BadPath::Character { at });
        }
        let path = text.split('?').next().unwrap_or_default().to_ascii_lowercase();
        let plain = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
        if !path.starts_with('/') || plain.starts_with("//") {
            return Err(BadPath::NotAbsolute);
        }
        if plain.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(BadPath::DotSegment);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for DownloadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((integrator, reference)) = self.partner() {
            return write!(f, "DownloadPath({integrator}, {reference:?})");
        }
        write!(f, "DownloadPath({})", self.0.split('?').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_made_and_read() {
        let mut rng = rand::rng();
        let made = StorageReference::generate(&mut rng);
        assert_eq!(made.as_str().len(), 43);
        assert_eq!(made.as_str().parse(), Ok(made.clone()));
        assert_ne!(made, StorageReference::generate(&mut rng));
        assert!(!format!("{made:?}").contains(&made.as_str()[..7]));
        for bad in
            ["", "short", "abcdefghijklmnopqrstu/", "abcdefghijklmnopqrstu.", "%41bcdefghijklmnopqrstuv"]
        {
            assert_eq!(bad.parse::<StorageReference>(), Err(BadReference), "{bad}");
        }
        assert!("a".repeat(86).parse::<StorageReference>().is_ok());
        assert!("a".repeat(87).parse::<StorageReference>().is_err());
    }

    #[test]
    fn paths_of_partners_go_there_and_back() {
        let reference: StorageReference = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".parse().unwrap();
        let path = DownloadPath::of_partner(17, &reference);
        assert_eq!(path.as_str(), format!("/interop/whatsapp/download/17/{}/", reference.as_str()));
        assert_eq!(path.as_str().parse(), Ok(path.clone()));
        for tail in ["", "/", "/&hash=x&mms-type=image", "/?auth=1", "&hash=y"] {
            let path: DownloadPath =
                format!("/interop/whatsapp/download/17/{}{tail}", reference.as_str()).parse().unwrap();
            assert_eq!(path.partner(), Some((17, reference.clone())), "{tail}");
        }
        for other in
            ["/v/t62.7118-24/1_n.enc?ccb=1", "/interop/whatsapp/download/x/aaaaaaaaaaaaaaaaaaaaaaaa/"]
        {
            assert_eq!(other.parse::<DownloadPath>().unwrap().partner(), None);
        }
        assert_eq!(
            path.url("https://mmg.whatsapp.net/"),
            format!("https://mmg.whatsapp.net{}", path.as_str())
        );
        assert!(!format!("{path:?}").contains("AAECAwQ"));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for (text, why) in [
            ("", BadPath::NotAbsolute),
            ("v/t62", BadPath::NotAbsolute),
            ("//evil.example/x", BadPath::NotAbsolute),
            ("/%2fevil.example", BadPath::NotAbsolute),
            ("/\\evil.example", BadPath::Character { at: 1 }),
            ("/v/t#x", BadPath::Character { at: 4 }),
            ("/v/t x", BadPath::Character { at: 4 }),
            ("/v/\r\nHost: evil", BadPath::Character { at: 3 }),
            ("/v/é", BadPath::Character { at: 3 }),
            ("/v/../admin", BadPath::DotSegment),
            ("/v/%2E%2e/admin", BadPath::DotSegment),
            ("/v/..%2fadmin", BadPath::DotSegment),
            ("/v/.", BadPath::DotSegment),
        ] {
            assert_eq!(text.parse::<DownloadPath>(), Err(why), "{text}");
        }
        assert_eq!(format!("/{}", "a".repeat(2048)).parse::<DownloadPath>(), Err(BadPath::TooLong));
        let kept = "/v/t62.7118-24/3_n.enc?ccb=11-4&oh=01_Q5&oe=67&_nc_sid=5e03e0&mms3=true";
        assert_eq!(kept.parse::<DownloadPath>().unwrap().as_str(), kept);
    }
}
