//! Out of the outbox of files: into that of messages, or given up.

use std::sync::Arc;

use landbridge_media::DownloadPath;
use landbridge_proto::content::set_direct_path;
use landbridge_proto::message::Message;
use landbridge_stanza::MessageId;
use landbridge_store::{OutState, StoreTx};
use landbridge_wire::Jid;
use prost::Message as _;

use super::Name;
use super::work::Job;
use crate::client::Inner;
use crate::error::Error;
use crate::event::Event;
use crate::media::MediaError;
use crate::messages::Beside;
use crate::messages::cipher::chat_of;
use crate::messages::outbox::Moved;
use crate::send_failure::SendFailure;

/// Why a message has failed that was cancelled.
const CANCELLED: &str = "cancelled before it was sent";

/// The file is at the server: its message goes to the outbox, in the transaction in which the upload ends. If it was cancelled
/// meanwhile, nothing happens.
pub(super) async fn finish(job: &Job, path: &DownloadPath) -> Result<(), Error> {
    let mut message = Message::decode(&*job.upload.content).unwrap_or_default();
    set_direct_path(&mut message, path.as_str());
    let beside = Beside::Upload { spool: job.upload.spool.clone() };
    crate::messages::send_as(&job.session.inner, &job.to, job.id.clone(), &message, beside).await.map(drop)
}

/// The file will never get there.
pub(super) async fn fail(job: &Job, because: MediaError) -> Result<(), Error> {
    let reason = innermost(&because);
    let (to, id) = (job.to.clone(), job.id.clone());
    let told = Event::FileFailed { to: to.clone(), id: id.clone(), because: Arc::new(because) };
    give_up(&job.session.inner, to, id, reason, Some(told)).await.map(drop)
}

/// What went wrong in the end, as one sentence.
fn innermost(error: &MediaError) -> String {
    match error {
        MediaError::Transfer { source } | MediaError::Gone { source } => source.to_string(),
        MediaError::Send { source } => source.to_string(),
        error => error.to_string(),
    }
}

/// Takes a file out of the outbox; whether it was still there.
pub(in crate::media) async fn cancel(inner: &Arc<Inner>, to: &Jid, id: &MessageId) -> Result<bool, Error> {
    give_up(inner, to.clone().without_device(), id.clone(), CANCELLED.to_owned(), None).await
}

async fn give_up(
    inner: &Arc<Inner>,
    to: Jid,
    id: MessageId,
    reason: String,
    told: Option<Event>,
) -> Result<bool, Error> {
    let (now, owner) = (inner.clock.now(), Arc::clone(inner));
    let name: Name = (chat_of(&to), id.as_str().to_owned());
    let (recipient, key) = name.clone();
    let failure = Some(SendFailure::read(&reason));
    let step = move |tx: &mut dyn StoreTx| {
        let Some(entry) = tx.upload(&recipient, &key)? else { return Ok(None) };
        tx.fail_upload(&recipient, &key, &reason, now)?;
        crate::trail::moved(tx, &recipient, &key, now, &Moved::Failed(reason))?;
        Ok::<_, Error>(Some(entry.upload.spool))
    };
    let tell = move |ended: &mut Option<String>| {
        let Some(spool) = ended else { return };
        owner.uploads.stop(&name);
        owner.uploads.ended(&name, spool);
        if let Some(event) = told {
            owner.events.push(event);
        }
        owner.events.push(Event::MessageState { to, id, state: OutState::Failed, at: now, failure });
    };
    Ok(inner.vault.write_and_tell(step, tell).await?.is_some())
}
