//! Payloads: what a transport frame carries. A flags byte, then one stanza, which may be compressed.

use std::borrow::Cow;
use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};

use crate::decode::Frame;
use crate::encode::{encode_flagged, is_complete};
use crate::{DecodeError, DecodeErrorKind as Kind, EncodeError, EncodeOptions, Limits, Node};

/// Flag: the stanza is one zlib stream. All other bits are ignored. PEERS.
const COMPRESSED: u8 = 2;

/// Writes a node as a payload.
///
/// # Errors
/// If the node, or one below it, has no encoding; see [`EncodeError`].
pub fn encode_payload(node: &Node, options: &EncodeOptions) -> Result<Vec<u8>, EncodeError> {
    Ok(compressed(encode_flagged(node, options)?, options))
}

/// Makes a node a payload: as it stands if it can stay so.
pub(crate) fn from_node(node: Node, options: &EncodeOptions) -> Result<Vec<u8>, EncodeError> {
    if !is_complete(&node, options)? {
        return encode_payload(&node, options);
    }
    Ok(compressed(node.into_composer().bytes, options))
}

/// The payload with its stanza compressed, if the options want that and it helps.
fn compressed(payload: Vec<u8>, options: &EncodeOptions) -> Vec<u8> {
    let stanza = payload.get(1..).unwrap_or_default();
    if options.compress_above.is_some_and(|limit| stanza.len() > limit)
        && let Some(compressed) = deflate(stanza)
        && compressed.len() < payload.len()
    {
        return compressed;
    }
    payload
}

/// Kept out of its callers, whose stack frames it would enlarge by 64 KiB.
#[inline(never)]
fn deflate(stanza: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(vec![COMPRESSED], Compression::default());
    encoder.write_all(stanza).ok()?;
    encoder.finish().ok()
}

/// Reads a payload into a node of its own.
///
/// # Errors
/// If the bytes are not a flags byte and exactly one stanza within the limits; see
/// [`crate::DecodeErrorKind`].
pub fn decode_payload(payload: &[u8], limits: &Limits) -> Result<Node, DecodeError> {
    decode_payload_ref(payload, limits).map(|frame| frame.to_node())
}

/// Checks and indexes the stanza of a payload, which is then read where it stands. If it is compressed, it
/// is inflated into the result; else nothing is copied.
///
/// # Errors
/// As [`decode_payload`].
#[inline]
pub fn decode_payload_ref<'a>(payload: &'a [u8], limits: &Limits) -> Result<Frame<'a>, DecodeError> {
    let Some((flags, stanza)) = payload.split_first() else {
        return Err(DecodeError::new(Kind::EmptyPayload, 0));
    };
    if flags & COMPRESSED != 0 {
        return Frame::new(Cow::Owned(inflate(stanza, limits.max_inflated)?), limits);
    }
    Frame::new(Cow::Borrowed(stanza), limits)
        .map_err(|error| DecodeError { offset: error.offset + 1, ..error })
}

/// Inflates a zlib stream that must be whole and have nothing behind it. Never holds more than one byte
/// beyond the limit.
#[inline(never)]
fn inflate(stream: &[u8], max: usize) -> Result<Vec<u8>, DecodeError> {
    let mut inflater = Decompress::new(true);
    let mut out = Vec::new();
    let read = |inflater: &Decompress| inflater.total_in() as usize;
    loop {
        let room = (max + 1).saturating_sub(out.len());
        let step = stream.len().saturating_mul(4).max(out.len()).max(1024);
        out.reserve_exact(step.min(room).max(1));
        let rest = stream.get(read(&inflater)..).unwrap_or_default();
        let (input, output) = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress_vec(rest, &mut out, FlushDecompress::None);
        let offset = 1 + read(&inflater);
        if out.len() > max {
            return Err(DecodeError::new(Kind::InflatedTooFar, offset));
        }
        match status {
            Ok(Status::StreamEnd) if read(&inflater) == stream.len() => return Ok(out),
            Ok(Status::Ok | Status::BufError)
                if (inflater.total_in(), inflater.total_out()) != (input, output) => {}
            _ => return Err(DecodeError::new(Kind::BadZlib, offset)),
        }
    }
}
