//! Key sets: what an issuer publishes, what a verifier takes from it, and when it asks again (protocol page, section 8).

mod cache;
mod parse;
mod render;

pub use cache::{Cache, CachePolicy, FetchReport, FetchRequest, Fetched, Lookup, MAX_BODY};
pub use parse::{DroppedKey, JwksError, KeySet, MAX_KEYS, ParsedSet, UnfitKey, VerifyingKey};
pub use render::{CACHE_CONTROL, CONTENT_TYPE, PublicJwk, etag, to_json};
