//! Names of users and devices that say nothing.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// Bytes of each half: 128 bits of SHA-256.
const LEN: usize = 16;

/// A user, by a digest of the partner's own name.
///
/// It keeps names out of other programs' logs and lists. It does not hide a name from somebody who guesses it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey([u8; LEN]);

/// A device of a user, by digests of both names. Printed: two words of 22 characters of base64url with a dot between.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey {
    user: UserKey,
    device: [u8; LEN],
}

/// A text is no [`DeviceKey`] or [`UserKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is no key of a user or device")]
#[non_exhaustive]
pub struct BadKey;

impl UserKey {
    /// The key of a user.
    pub fn of(user_id: &str) -> Self {
        Self(digest(user_id))
    }
}

impl DeviceKey {
    /// The key of a device.
    pub fn of(user_id: &str, device: &str) -> Self {
        Self { user: UserKey::of(user_id), device: digest(device) }
    }

    /// Whose it is.
    pub fn user(&self) -> UserKey {
        self.user
    }
}

fn digest(name: &str) -> [u8; LEN] {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    // SHA-256 has 32 bytes.
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

fn parse(text: &str) -> Result<[u8; LEN], BadKey> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadKey)?;
    bytes.try_into().map_err(|_| BadKey)
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.user, URL_SAFE_NO_PAD.encode(self.device))
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserKey({self})")
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({self})")
    }
}

impl FromStr for UserKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        parse(text).map(Self)
    }
}

impl FromStr for DeviceKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let (user, device) = text.split_once('.').ok_or(BadKey)?;
        Ok(Self { user: user.parse()?, device: parse(device)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = DeviceKey::of("alice", "phone");
        assert_eq!(key.to_string().len(), 45);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.user().to_string().parse(), Ok(UserKey::of("alice")));
        for other in [("alice", "phon"), ("alic", "ephone"), ("phone", "alice")] {
            assert_ne!(DeviceKey::of(other.0, other.1), key);
        }
        let text = key.to_string();
        for bad in ["", ".", "a.b", &text[1..], &text[..44], &format!("{text}.x"), &text.replace('.', ">")] {
            assert_eq!(bad.parse::<DeviceKey>(), Err(BadKey), "{bad}");
        }
    }
}
