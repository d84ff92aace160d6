//! Media files between WhatsApp and its partners: encryption, decryption with every check, sidecars, random access,
//! download paths. Pure: bytes and randomness come in as arguments; there is no I/O, clock or runtime.
//!
//! A file is encrypted with AES-256-CBC under a key of its own, with a MAC behind it; the key and two hashes travel in
//! the message, the encrypted file over HTTP.
//!
//! - Sending: [`MediaKey::generate`], [`Encryptor`] (or [`encrypt`]); upload what it wrote; put [`Sealed`] and a
//!   [`DownloadPath::of_partner`] into the message.
//! - Receiving: [`Expected::of_message`], [`Decryptor`] (or [`decrypt`]) with a [`Quarantine`] that shows nothing
//!   before every check has passed.
//! - Playing while the rest is under way: [`RangeReader`], which gives what the [`Sidecar`] proves.
//! - The ways of files: [`Uploader`] and [`Downloader`], traits for what has sockets.
//! - The fields beside: [`waveform`], [`check_thumbnail`], [`picture`].
//!
//! ```
//! use landbridge_media::{Claim, Expected, MediaKey, MediaKind, Refusal, decrypt, encrypt};
//!
//! let key = MediaKey::generate(&mut rand::rng());
//! let (mut encrypted, sealed) = encrypt(MediaKind::Image, &key, b"not really a picture");
//!
//! // what a message says
//! let mut claim = Claim::default();
//! claim.media_key = Some(key.as_bytes());
//! claim.file_sha256 = Some(&sealed.file_sha256);
//! claim.file_enc_sha256 = Some(&sealed.file_enc_sha256);
//! claim.file_length = Some(sealed.file_length);
//! let expected = Expected::of_message(MediaKind::Image, claim, MediaKind::Image.default_limit())?;
//!
//! assert_eq!(decrypt(&expected, &encrypted)?, b"not really a picture");
//! encrypted[3] ^= 1;
//! assert_eq!(decrypt(&expected, &encrypted), Err(Refusal::EncHashMismatch));
//! # Ok::<(), Refusal>(())
//! ```

mod decrypt;
mod encrypt;
mod expected;
mod keys;
mod kind;
mod place;
mod preview;
mod range;
mod refusal;
mod sha;
mod sidecar;
mod transfer;

pub use decrypt::{DecryptError, Decryptor, Opened, Quarantine, decrypt};
pub use encrypt::{Encryptor, Sealed, encrypt, encrypted_length};
pub use expected::{Claim, Expected};
pub use keys::MediaKey;
pub use kind::{MediaKind, UnknownKind};
pub use place::{BadPath, BadReference, DownloadPath, StorageReference};
pub use preview::{
    BadThumbnail, Picture, PictureFormat, THUMBNAIL, WAVEFORM, check_thumbnail, picture, waveform,
};
pub use range::{Part, RangeError, RangeReader};
pub use refusal::{Refusal, Remedy};
pub use sidecar::{BadSidecar, Sidecar};
pub use transfer::{Downloader, EncryptedFile, Fetch, Span, TransferError, Tried, Uploader};
