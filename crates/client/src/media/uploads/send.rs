//! Into the outbox of files.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use landbridge_media::{MediaKey, MediaKind};
use landbridge_proto::content::Media;
use landbridge_proto::message::Message;
use landbridge_stanza::MessageId;
use landbridge_store::{Enlistment, StoreTx, Upload, UploadEntry};
use landbridge_wire::Jid;
use prost::Message as _;

use super::{Live, Name};
use crate::client::Inner;
use crate::error::Error;
use crate::media::limits::limit;
use crate::media::outgoing::{Fields, Progress, Watcher, fault, message};
use crate::media::spool::{Berth, Order, Spool, disk};
use crate::media::{MediaError, OutgoingFile, PendingFile, Source};
use crate::messages::cipher::chat_of;

/// Encrypts a file and stores it. It goes out from there.
pub(in crate::media) async fn send(
    inner: &Arc<Inner>,
    to: &Jid,
    kind: MediaKind,
    file: OutgoingFile,
) -> Result<MessageId, MediaError> {
    let refused = |source| MediaError::Send { source };
    if !inner.uploads.has_uploader() {
        return Err(MediaError::Setup { what: "uploader" });
    }
    let to = crate::messages::recipient(inner, to).map_err(refused)?;
    inner.uploads.sweep(inner).await.map_err(refused)?;
    let OutgoingFile { source, mut fields, watcher } = file;
    name_after(&source, &mut fields);
    let (made_at, key) = (inner.clock.now(), MediaKey::generate(&mut inner.rng.fork()));
    let order = Order { kind, key, limit: limit(&inner.profile.media, kind) };
    let (owner, told) = (Arc::clone(inner), Arc::clone(&watcher));
    let given_up = GiveUp::default();
    let flag = Arc::clone(&given_up.0);
    let work = move || {
        let (berth, name) = owner.uploads.berth(&owner).map_err(disk)?;
        let spool = fill(&order, source, berth, &flag, &told)?;
        Ok::<_, MediaError>((spool, name, order.key))
    };
    let (spool, name, key) = tokio::task::spawn_blocking(work).await.map_err(|_| MediaError::GivenUp)??;
    let content = message(kind, &key, made_at, &spool.sealed, &fields);
    let content = content.ok_or(MediaError::BadMessage { source: None })?;
    if let Some(what) = fault(&content, &inner.content_limits) {
        return Err(MediaError::Content { what });
    }
    crate::messages::check_content(inner, &content).map_err(refused)?;
    let id = MessageId::generate(&mut inner.rng.fork());
    let upload = Upload {
        id: id.as_str().to_owned(),
        recipient: chat_of(&to),
        kind: landbridge_proto::content::outer(&content).stanza_type.to_owned(),
        content: content.encode_to_vec(),
        spool: name,
        length: spool.sealed.encrypted_length,
        sha256: spool.sealed.file_enc_sha256,
        place: None,
        created_at: made_at,
    };
    store(inner, upload, spool, watcher).await.map_err(refused)?;
    Ok(id)
}

/// File and row have one owner as soon as the row is committed, whether or not the caller is still there.
async fn store(inner: &Arc<Inner>, upload: Upload, spool: Spool, watcher: Watcher) -> Result<(), Error> {
    let (owner, name) = (Arc::clone(inner), (upload.recipient.clone(), upload.id.clone()));
    let step = move |tx: &mut dyn StoreTx| {
        match tx.account()?.map(|account| account.enlistment) {
            Some(Enlistment::Enlisted { .. } | Enlistment::Lapsed { .. }) => {}
            Some(Enlistment::Prepared | Enlistment::Deleting { .. }) | None => {
                return Err(Error::NotEnlisted);
            }
        }
        let nameless = upload.spool.is_empty();
        tx.begin_upload(&upload)?;
        Ok(nameless)
    };
    let keep = move |nameless: &mut bool| {
        let file = spool.keep();
        let nameless = nameless.then_some(file);
        let live = Live { nameless, watcher: Some(watcher), ..Live::default() };
        owner.uploads.lives().insert(name, live);
        owner.uploads.news.notify_one();
    };
    inner.vault.write_and_tell(step, keep).await.map(drop)
}

/// Tells the thread that encrypts when nobody waits for it any more.
#[derive(Default)]
struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn name_after(source: &Source, fields: &mut Fields) {
    if let (Source::Path(path), None) = (source, &fields.file_name) {
        fields.file_name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    }
}

fn fill(
    order: &Order,
    source: Source,
    berth: Berth,
    given_up: &AtomicBool,
    watcher: &Watcher,
) -> Result<Spool, MediaError> {
    let progress = |bytes| watcher(Progress::Encrypted { bytes });
    match source {
        Source::Path(path) => {
            let file = File::open(path).map_err(|source| MediaError::Disk { source })?;
            Spool::fill(order, file, berth, given_up, progress)
        }
        Source::Bytes(bytes) => Spool::fill(order, &bytes[..], berth, given_up, progress),
        Source::Reader(reader) => Spool::fill(order, reader, berth, given_up, progress),
    }
}

/// What is on its way out, oldest first.
pub(in crate::media) async fn pending(inner: &Arc<Inner>) -> Result<Vec<PendingFile>, Error> {
    let step = |tx: &mut dyn StoreTx| tx.uploads(0, usize::MAX).map_err(Error::from);
    let entries = inner.vault.read(step).await?;
    Ok(entries.into_iter().filter_map(|entry| seen(inner, entry)).collect())
}

fn seen(inner: &Inner, entry: UploadEntry) -> Option<PendingFile> {
    let upload = entry.upload;
    let message = Message::decode(&*upload.content).ok()?;
    let kind = landbridge_proto::content::outer(&message).mediatype?.parse().ok()?;
    let wrapped = message.document_with_caption_message.as_ref().and_then(|outer| outer.message.as_deref());
    let media = Media::of(wrapped.unwrap_or(&message))?;
    let name: Name = (upload.recipient, upload.id);
    let (transferred, waits) = inner.uploads.standing(&name);
    Some(PendingFile {
        to: name.0.parse().ok()?,
        id: MessageId::try_from(name.1).ok()?,
        kind,
        file_length: media.file_length?,
        encrypted_length: upload.length,
        file_sha256: media.file_sha256?.try_into().ok()?,
        file_enc_sha256: upload.sha256,
        file_name: media.file_name.map(str::to_owned),
        caption: media.caption.map(str::to_owned),
        created_at: upload.created_at,
        transferred,
        waits,
    })
}
