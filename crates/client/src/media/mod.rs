//! Files: everything of `landbridge-media`, and what needs a disk.

mod hidden;

pub use hidden::HiddenFile;
pub use landbridge_media::*;
