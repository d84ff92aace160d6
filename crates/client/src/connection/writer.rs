//! The one task that writes.

use std::sync::Arc;
use std::time::Duration;

use landbridge_noise::Sealer;
use landbridge_stanza::stream::end_node;
use landbridge_transport::Stream;
use landbridge_wire::{decode_payload, encode_payload};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::error::Ending;
use crate::session::Session;
use crate::trace::Direction;

/// Frames are gathered up to this size before they are written.
const BATCH: usize = 64 * 1024;
/// Time for the last words of an end, and for the server to hear them.
const FAREWELL: Duration = Duration::from_secs(2);

/// A payload to be sealed and written.
pub(crate) struct Outgoing {
    pub(crate) payload: Vec<u8>,
    /// Told once the bytes are handed to the operating system.
    pub(crate) written: Option<oneshot::Sender<()>>,
}

pub(crate) async fn run(
    session: Arc<Session>,
    mut queue: mpsc::Receiver<Outgoing>,
    mut sealer: Sealer,
    mut write: WriteHalf<Box<dyn Stream>>,
    unread: oneshot::Receiver<ReadHalf<Box<dyn Stream>>>,
) {
    let work = async {
        loop {
            let Some(first) = queue.recv().await else { return Ok(()) };
            let (batch, written) = seal(&session, &mut sealer, first, &mut queue)?;
            put(&mut write, &batch).await?;
            for told in written {
                // Whoever waited may be gone.
                let _gone = told.send(());
            }
        }
    };
    let outcome: Result<(), Ending> = tokio::select! {
        biased;
        _ = session.ended() => Ok(()),
        outcome = work => outcome,
    };
    match outcome {
        Err(ending) => session.end(ending),
        Ok(()) => {
            let farewell = async {
                farewell(&session, &mut sealer, &mut queue, &mut write).await?;
                hear_out(unread).await
            };
            // The peer may be gone or deaf; then there is nobody to take leave of.
            let _late = tokio::time::timeout(FAREWELL, farewell).await;
        }
    }
    session.fall_silent();
}

/// Reads and forgets until the server has closed, too: only then has it read our last words. A socket that is dropped while
/// the server still writes resets the connection, and what the server has not read by then may be lost.
async fn hear_out(unread: oneshot::Receiver<ReadHalf<Box<dyn Stream>>>) -> Result<(), Ending> {
    let Ok(mut read) = unread.await else { return Ok(()) };
    let mut buffer = vec![0; 4096];
    while read.read(&mut buffer).await.map_err(|source| Ending::Read { source })? > 0 {}
    Ok(())
}

type Batch = (Vec<u8>, Vec<oneshot::Sender<()>>);

fn seal(
    session: &Session,
    sealer: &mut Sealer,
    first: Outgoing,
    queue: &mut mpsc::Receiver<Outgoing>,
) -> Result<Batch, Ending> {
    let mut bytes = Vec::with_capacity(first.payload.len() + 32);
    let mut written = Vec::new();
    let mut next = Some(first);
    while let Some(Outgoing { payload, written: told }) = next {
        let before = bytes.len();
        sealer.seal_frame(&payload, &mut bytes).map_err(|source| Ending::Seal { source })?;
        if session.inner.tracer.is_on()
            && let Ok(node) = decode_payload(&payload, &session.inner.wire_limits)
        {
            session.inner.tracer.stanza(Direction::Out, bytes.len() - before, node.view());
        }
        written.extend(told);
        next = if bytes.len() < BATCH { queue.try_recv().ok() } else { None };
    }
    Ok((bytes, written))
}

async fn put(write: &mut WriteHalf<Box<dyn Stream>>, bytes: &[u8]) -> Result<(), Ending> {
    let failed = |source| Ending::Write { source };
    write.write_all(bytes).await.map_err(failed)?;
    write.flush().await.map_err(failed)
}

/// What is queued still goes out when the end was asked for; then the end of the stream, whatever the reason.
async fn farewell(
    session: &Session,
    sealer: &mut Sealer,
    queue: &mut mpsc::Receiver<Outgoing>,
    write: &mut WriteHalf<Box<dyn Stream>>,
) -> Result<(), Ending> {
    queue.close();
    while let Ok(outgoing) = queue.try_recv() {
        let (bytes, written) = seal(session, sealer, outgoing, queue)?;
        put(write, &bytes).await?;
        for told in written {
            let _gone = told.send(());
        }
    }
    let end = encode_payload(&end_node(), &session.inner.encode_options)?;
    let mut bytes = Vec::new();
    sealer.seal_frame(&end, &mut bytes).map_err(|source| Ending::Seal { source })?;
    session.inner.tracer.stanza(Direction::Out, bytes.len(), end_node().view());
    put(write, &bytes).await?;
    write.shutdown().await.map_err(|source| Ending::Write { source })
}
