//! The one task that reads.

use std::sync::Arc;

use landbridge_noise::{FrameDecoder, Opener, PREFIX_LEN};
use landbridge_transport::Stream;
use landbridge_wire::{Node, decode_payload};
use tokio::io::{AsyncReadExt, ReadHalf};
use tokio::sync::oneshot;

use crate::client::Inner;
use crate::error::Ending;
use crate::session::Session;
use crate::trace::Direction;

/// Opens and decodes the next frame, if the decoder holds one.
pub(crate) fn take_stanza(
    inner: &Inner,
    decoder: &mut FrameDecoder,
    opener: &mut Opener,
) -> Result<Option<Node>, Ending> {
    let Some(frame) = decoder.next_frame().map_err(|source| Ending::Frame { source })? else {
        return Ok(None);
    };
    let wire_bytes = PREFIX_LEN + frame.len();
    let payload = opener.open_in_place(frame).map_err(|source| Ending::Open { source })?;
    let node = decode_payload(payload, &inner.wire_limits).map_err(|source| Ending::Decode { source })?;
    inner.tracer.stanza(Direction::In, wire_bytes, node.view());
    Ok(Some(node))
}

/// Reads and routes until the session ends. One stanza is done with, its effects stored, before the next one is looked
/// at: that keeps the server's order. The half that is left goes to whoever waits for the server to close.
pub(crate) async fn run(
    session: Arc<Session>,
    mut read: ReadHalf<Box<dyn Stream>>,
    mut decoder: FrameDecoder,
    mut opener: Opener,
    early: Vec<Node>,
    unread: oneshot::Sender<ReadHalf<Box<dyn Stream>>>,
) {
    let work = async {
        for node in early {
            session.route(node).await?;
        }
        loop {
            while let Some(node) = take_stanza(&session.inner, &mut decoder, &mut opener)? {
                session.heard();
                session.route(node).await?;
                if session.has_ended() {
                    return Ok(());
                }
            }
            match read.read_buf(decoder.read_buf()).await {
                Ok(0) => return Err(Ending::Closed),
                Ok(_) => {}
                Err(source) => return Err(Ending::Read { source }),
            }
        }
    };
    let outcome: Result<(), Ending> = tokio::select! {
        biased;
        _ = session.ended() => Ok(()),
        outcome = work => outcome,
    };
    if let Err(ending) = outcome {
        session.end(ending);
    }
    // The writer may be gone already.
    let _gone = unread.send(read);
}
