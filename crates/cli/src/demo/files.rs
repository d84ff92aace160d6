//! Milestone 4.1: files both ways, through two servers, neither of which can read them.

use std::path::{Path, PathBuf};

use landbridge::Body;
use landbridge::media::{Attachment, MediaKind, OutgoingFile, Source, encrypted_length};
use landbridge_sandbox::PhoneFile;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

use super::exchange::{delivered, next_message};
use super::report::{Millis, Report, Stop};
use super::world::{PHONE, World};
use crate::failure::with_causes;

/// Bytes of the phone's picture.
const PICTURE: usize = 300_000;
/// Bytes of the user's file, if none is given.
const LARGE: usize = 20_000_000;

pub(super) async fn run(report: &mut Report, world: &mut World, file: Option<&Path>) -> Result<(), Stop> {
    report.milestone("milestone 4.1", "files");
    let picture = random(PICTURE);
    let attachment = report.check("picture comes from the phone", picture_in(world, &picture)).await?;
    report.check("fetched, checked, saved", saved(world, &attachment, &picture)).await?;
    let (id, hash) = report.check("file sent through the partner", file_out(world, file)).await?;
    report.check("the phone fetches the same file", phone_fetches(world, &id, hash)).await
}

/// Bytes that nobody can guess.
pub(super) fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// The first bytes of a hash in hex.
pub(super) fn short(hash: &[u8; 32]) -> String {
    hex::encode(hash.split_at(4).0)
}

async fn picture_in(world: &mut World, picture: &[u8]) -> Result<(Attachment, String), String> {
    const CAPTION: &str = "The bridge, from this side.";
    let file = PhoneFile {
        kind: MediaKind::Image,
        mimetype: "image/jpeg".to_owned(),
        bytes: picture.to_vec(),
        caption: Some(CAPTION.to_owned()),
        file_name: None,
    };
    let sent = world.handle().phone_send_file(PHONE, &world.address_text(), &file);
    let id = sent.map_err(|error| with_causes(&error))?;
    let message = next_message(world).await?;
    let caption = message.content.media().and_then(|media| media.caption);
    if message.id != id || caption != Some(CAPTION) {
        return Err(format!("another message came: {} with {caption:?}", message.id));
    }
    let attachment = world.files.attachment(&message).map_err(|error| with_causes(&error))?;
    let attachment = attachment.ok_or("the message has no file")?;
    let length = attachment.file_length().unwrap_or_default();
    Ok((
        attachment,
        format!("message {id}: {length} random bytes as a picture, {CAPTION:?}; key and hashes are in it"),
    ))
}

async fn saved(world: &World, attachment: &Attachment, picture: &[u8]) -> Result<((), String), String> {
    let path = world.path("received.jpg");
    let saved = attachment.save(&path, |_| {}).await.map_err(|error| with_causes(&error))?;
    let there = std::fs::read(&path).map_err(|error| error.to_string())?;
    if there != picture || saved.file_sha256 != <[u8; 32]>::from(Sha256::digest(picture)) {
        return Err("the saved picture is not the one that the phone sent".to_owned());
    }
    Ok((
        (),
        format!(
            "from {}: MAC, both hashes and length good,\nonly then a file of {} B, SHA-256 {}…",
            world.sandbox.media_url(),
            saved.file_length,
            short(&saved.file_sha256)
        ),
    ))
}

async fn file_out(
    world: &mut World,
    file: Option<&Path>,
) -> Result<((landbridge::stanza::MessageId, [u8; 32]), String), String> {
    let phone = world.phone();
    let (source, hash) = match file {
        Some(path) => hash_file(path.to_owned()).await?,
        None => {
            let bytes = random(LARGE);
            let hash = Sha256::digest(&bytes).into();
            (Source::Bytes(bytes), hash)
        }
    };
    let outgoing = OutgoingFile::new(source, "application/octet-stream");
    let outgoing = if file.is_none() { outgoing.file_name("random.bin") } else { outgoing };
    let start = std::time::Instant::now();
    let id = world.files.send_document(&phone, outgoing).await.map_err(|error| with_causes(&error))?;
    delivered(world, id.as_str()).await?;
    let took = start.elapsed();
    let sent = world.client.message(&phone, &id).await.map_err(|error| with_causes(&error))?;
    let sent = sent.ok_or("the message is not stored")?;
    let content = match &sent.body {
        Body::Content(content) => content.media(),
        _ => None,
    };
    let media = content.ok_or("the stored message has no file")?;
    if media.file_sha256 != Some(&hash[..]) {
        return Err("the file was changed while it was read".to_owned());
    }
    let length = media.file_length.unwrap_or_default();
    let seen = format!(
        "message {id}: {length} B, encrypted to {} B, uploaded to\n{} and delivered in {}; SHA-256 {}…",
        encrypted_length(length).unwrap_or_default(),
        world.partner.base_url(),
        Millis(took),
        short(&hash)
    );
    Ok(((id, hash), seen))
}

/// A file to send, and its hash by a reader of its own.
async fn hash_file(path: PathBuf) -> Result<(Source, [u8; 32]), String> {
    let work = move || {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut hash = || {
            let mut file = std::fs::File::open(&path)?;
            loop {
                match std::io::Read::read(&mut file, &mut buffer)? {
                    0 => return Ok::<_, std::io::Error>(()),
                    count => hasher.update(buffer.get(..count).unwrap_or_default()),
                }
            }
        };
        let hashed = hash();
        match hashed {
            Ok(()) => Ok((Source::Path(path), hasher.finalize().into())),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        }
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

/// The media server has the file from the partner's, which the phone never sees.
async fn phone_fetches(
    world: &World,
    id: &landbridge::stanza::MessageId,
    hash: [u8; 32],
) -> Result<((), String), String> {
    let fetched = world.handle().phone_fetch_file(PHONE, &world.address_text(), id).await;
    let fetched = fetched.map_err(|error| with_causes(&error))?;
    if <[u8; 32]>::from(Sha256::digest(&fetched.bytes)) != hash {
        return Err("the phone has another file".to_owned());
    }
    Ok((
        (),
        format!(
            "through {}, which asked the partner:\n{} B, SHA-256 {}…, decrypted on the phone",
            world.sandbox.media_url(),
            fetched.bytes.len(),
            short(&hash)
        ),
    ))
}
