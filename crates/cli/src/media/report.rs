//! What is printed about a file. It goes to standard output, unless the file itself does.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use landbridge::media::{MediaKind, Sidecar};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::output;

/// What a message says about a file. Bytes are in base64, lengths in bytes.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) kind: &'static str,
    pub(super) file_length: u64,
    pub(super) encrypted_length: u64,
    pub(super) file_sha256: String,
    pub(super) file_enc_sha256: String,
    /// Absent for kinds that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sidecar: Option<String>,
    /// The key in hex, as `--key` takes it, if it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media_key: Option<String>,
}

/// What both commands know of a file.
pub(super) struct Facts<'a> {
    pub(super) kind: MediaKind,
    pub(super) file_length: u64,
    pub(super) encrypted_length: u64,
    pub(super) file_sha256: &'a [u8; 32],
    pub(super) file_enc_sha256: &'a [u8; 32],
    pub(super) sidecar: Option<&'a Sidecar>,
}

impl Report {
    pub(super) fn new(facts: &Facts<'_>) -> Self {
        Self {
            kind: facts.kind.name(),
            file_length: facts.file_length,
            encrypted_length: facts.encrypted_length,
            file_sha256: BASE64_STANDARD.encode(facts.file_sha256),
            file_enc_sha256: BASE64_STANDARD.encode(facts.file_enc_sha256),
            sidecar: facts.sidecar.map(|sidecar| BASE64_STANDARD.encode(sidecar.as_bytes())),
            media_key: None,
        }
    }

    /// Prints it where the file at `path` is not.
    pub(super) fn print(&self, path: &Path, json: bool) -> Result<(), Failure> {
        let text = text(self, json)?;
        if path == Path::new("-") {
            eprintln!("{text}");
            return Ok(());
        }
        output::line(&text)
    }
}

/// One JSON object on one line, or a line for each member.
pub(super) fn text(report: &impl Serialize, json: bool) -> Result<String, Failure> {
    if json {
        return Ok(serde_json::to_string(report)?);
    }
    let Value::Object(members) = serde_json::to_value(report)? else { return Ok(String::new()) };
    let lines = members.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}: {text}"),
        other => format!("{name}: {other}"),
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
