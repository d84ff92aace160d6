//! What test phones can be told to do, each seen from a client on a socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use landbridge_proto::content::{self, Kind, Verdict};
use landbridge_proto::message::MessageKey;
use landbridge_proto::padding;
use landbridge_sandbox::events::{Event, EventKind};
use landbridge_sandbox::{Direction, Garbage, MessageState, PhoneMessage, SandboxHandle};
use landbridge_stanza::chatstate::{ChatState, ChatStateIn, ChatStateOut};
use landbridge_stanza::codes::{IqErrorCode, MessageErrorCode};
use landbridge_stanza::notification::{Notification, NotificationEvent};
use landbridge_stanza::presence::PresenceOut;
use landbridge_stanza::receipt::ReceiptType;
use landbridge_wire::Jid;
use support::chat::Peer;
use support::*;

const NUMBER: &str = "14155551001";

fn joe() -> Jid {
    Jid::user(NUMBER)
}

/// A phone, and a client that it has exchanged a message with each way.
async fn acquainted() -> (World, Peer) {
    // Their beginnings are larger than anything that follows.
    let world = Box::pin(World::new()).await;
    world.sandbox.handle().create_phone(NUMBER, "Joe").unwrap();
    let mut peer = Box::pin(Peer::new(&world, "alice")).await;
    says(&mut peer, "hello").await;
    world.sandbox.handle().phone_send_text(NUMBER, "alice", "hello yourself").unwrap();
    assert_eq!(peer.read().await, "hello yourself");
    (world, peer)
}

/// Sends a text that is delivered.
async fn says(peer: &mut Peer, text: &str) -> landbridge_stanza::MessageId {
    let id = peer.send(&joe(), text).await;
    assert_eq!(peer.ack().await.error, None);
    assert_eq!(peer.receipt().await.kind, ReceiptType::Delivered);
    id
}

/// What the phone shows, once `wanted` holds for one of its lines.
async fn line(handle: &SandboxHandle, wanted: impl Fn(&PhoneMessage) -> bool) -> PhoneMessage {
    let mut changes = handle.watch_phone(NUMBER).unwrap();
    loop {
        changes.mark_unchanged();
        if let Some(line) = handle.phone_messages(NUMBER).unwrap().into_iter().find(&wanted) {
            return line;
        }
        changes.changed().await.unwrap();
    }
}

#[tokio::test]
async fn replies_reactions_edits_and_revokes_of_a_phone() {
    let (world, mut peer) = acquainted().await;
    let handle = world.sandbox.handle().clone();
    let theirs = says(&mut peer, "Lunch tomorrow?").await;
    let mine = handle.phone_reply(NUMBER, "alice", &theirs, "Yes, at noon").unwrap();
    let reply = peer.content().await;
    let quoted = reply.context_info().unwrap();
    assert_eq!((reply.text(), quoted.stanza_id.as_deref()), (Some("Yes, at noon"), Some(theirs.as_str())));
    assert_eq!(quoted.participant.as_deref(), Some(peer.account.jid.to_string().as_str()));
    assert_eq!(quoted.quoted_message.as_ref().unwrap().conversation.as_deref(), Some("Lunch tomorrow?"));

    for (emoji, kind) in [("👍", Kind::Reaction), ("", Kind::ReactionRevoke)] {
        handle.phone_react(NUMBER, "alice", &theirs, emoji).unwrap();
        let reaction = peer.content().await;
        let target = reaction.target().unwrap();
        assert_eq!((reaction.kind(), target.id.as_deref()), (kind, Some(theirs.as_str())));
        assert_eq!((target.from_me, reaction.findings().len()), (Some(false), 0));
    }
    handle.phone_edit(NUMBER, "alice", &mine, "Yes, at one").unwrap();
    let edit = peer.content().await;
    assert_eq!(
        (edit.kind(), edit.text(), edit.verdict()),
        (Kind::Edit, Some("Yes, at one"), Verdict::Accept)
    );
    handle.phone_revoke(NUMBER, "alice", &mine).unwrap();
    let revoke = peer.content().await;
    assert_eq!((revoke.kind(), revoke.target().unwrap().id.as_deref()), (Kind::Revoke, Some(mine.as_str())));
    assert!(handle.phone_revoke(NUMBER, "alice", &theirs).is_err(), "it is not the phone's");
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_phone_shows_what_is_said_about_messages() {
    let (world, mut peer) = acquainted().await;
    let handle = world.sandbox.handle().clone();
    let theirs = handle.phone_send_text(NUMBER, "alice", "Guess what").unwrap();
    peer.read().await;
    let mine = says(&mut peer, "What?").await;
    let chat = joe().to_string();
    let key = |id: &landbridge_stanza::MessageId| MessageKey::own(chat.clone(), id.as_str());
    for said in [
        content::react(MessageKey::theirs(chat.clone(), theirs.as_str()), "🤔", 1),
        content::edit(key(&mine), content::text("No idea"), 2),
    ] {
        peer.send_content(&joe(), &said).await;
    }
    let shown = line(&handle, |line| !line.reactions.is_empty()).await;
    assert_eq!((shown.id, &shown.reactions[&Direction::Received].emoji[..]), (theirs.to_string(), "🤔"));
    let edited = line(&handle, |line| line.edited_ms.is_some()).await;
    assert_eq!((edited.id, edited.text.as_deref()), (mine.to_string(), Some("No idea")));
    peer.send_content(&joe(), &content::revoke(key(&mine))).await;
    let gone = line(&handle, |line| line.revoked).await;
    assert_eq!((gone.id, gone.text), (mine.to_string(), None));
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn typing_both_ways_reading_and_playing() {
    let (world, mut peer) = acquainted().await;
    let handle = world.sandbox.handle().clone();
    peer.client.send(&PresenceOut::Available { name: None }.to_node(&world.profile)).await;
    peer.client.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    for state in [ChatState::Composing, ChatState::Recording, ChatState::Paused] {
        handle.phone_type(NUMBER, "alice", state).unwrap();
        let typing = ChatStateIn::from_node(peer.client.next("chatstate").await.view()).unwrap();
        assert_eq!((typing.from, typing.state), (joe(), state));
    }
    peer.client.send(&ChatStateOut { to: joe(), state: ChatState::Composing }.to_node(&world.profile)).await;
    world.wait(|event| matches!(&event.kind, EventKind::PhoneTyping { state: "composing", .. })).await;

    let id = says(&mut peer, "a voice note, let us say").await;
    handle.phone_read(NUMBER, "alice", &id).unwrap();
    handle.phone_played(NUMBER, "alice", &id).unwrap();
    for kind in [ReceiptType::Read, ReceiptType::Played] {
        let receipt = peer.receipt().await;
        assert_eq!((receipt.kind, receipt.id), (kind, id.clone()));
    }
    let shown = handle.phone_messages(NUMBER).unwrap().pop().unwrap();
    assert_eq!(shown.state, MessageState::Played);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn another_installation_is_told_to_who_has_to_know() {
    let (world, mut peer) = acquainted().await;
    let mut stranger = Peer::new(&world, "mallory").await;
    let handle = world.sandbox.handle().clone();
    let before = handle.phone_info(NUMBER).unwrap();
    let after = handle.phone_reinstall(NUMBER).unwrap();
    assert_ne!((before.identity, before.registration), (after.identity, after.registration));
    assert_eq!((after.online, after.messages), (true, before.messages));
    let told = peer.client.next("notification").await;
    peer.ack_for(&told).await;
    let told = Notification::from_node(told.view(), &world.profile).unwrap();
    assert_eq!((told.from, told.event), (joe(), NotificationEvent::IdentityChanged { lid: None }));
    world.wait(|event| matches!(event.kind, EventKind::IdentityChanged { contacts: 1 })).await;

    let keys = peer.fetch(&joe()).await.bundle.unwrap();
    assert!(keys.prekey.is_some(), "it has offered new ones");
    peer.forget_session(&joe());
    says(&mut peer, "new phone?").await;
    handle.phone_send_text(NUMBER, "alice", "new phone").unwrap();
    assert_eq!(peer.read().await, "new phone");
    assert!(!is_told(&mut stranger).await);
    world.sandbox.shutdown().await;
}

/// Whether a client has been sent a notification by now.
async fn is_told(peer: &mut Peer) -> bool {
    peer.client.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    peer.client.waiting.iter().any(|stanza| stanza.view().is("notification"))
}

#[tokio::test]
async fn who_wrote_to_it_long_ago_is_not_told() {
    let (world, mut peer) = acquainted().await;
    // A client that is connected does not expire.
    world.sandbox.handle().advance_clock(31 * 86_400).unwrap();
    world.sandbox.handle().phone_reinstall(NUMBER).unwrap();
    world.wait(|event| matches!(event.kind, EventKind::IdentityChanged { contacts: 0 })).await;
    assert!(!is_told(&mut peer).await);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn an_installation_that_was_not_told_of_is_told_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with(config().data_dir(dir.path())).await;
    let handle = world.sandbox.handle().clone();
    handle.create_phone(NUMBER, "Joe").unwrap();
    world.enlist("alice");
    handle.phone_send_text(NUMBER, "alice", "hello").unwrap();
    let before = handle.phone_info(NUMBER).unwrap().identity;
    world.sandbox.shutdown().await;
    // What a kill between the two databases leaves behind: a phone with keys that nobody knows.
    std::fs::remove_file(dir.path().join(format!("phone-{NUMBER}.db"))).unwrap();
    let world = World::with(config().data_dir(dir.path())).await;
    let after = world.sandbox.handle().phone_info(NUMBER).unwrap().identity;
    assert_ne!(before, after);
    world.wait(|event| matches!(event.kind, EventKind::IdentityChanged { contacts: 1 })).await;
    let users = world.sandbox.handle().users().unwrap();
    assert_eq!(users.iter().find(|user| user.integrator.is_none()).unwrap().prekeys, 100);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn who_is_away_finds_everything_on_return() {
    let (world, mut peer) = acquainted().await;
    let handle = world.sandbox.handle().clone();
    handle.phone_go_offline(NUMBER).unwrap();
    assert!(!handle.phone_info(NUMBER).unwrap().online);
    let id = peer.send(&joe(), "are you there?").await;
    assert_eq!(peer.ack().await.error, None);
    let mine = handle.phone_send_text(NUMBER, "alice", "written in a tunnel").unwrap();
    let lines = handle.phone_messages(NUMBER).unwrap();
    assert_eq!(lines.last().unwrap().state, MessageState::Pending);
    assert!(lines.iter().all(|line| line.id != id.to_string()));
    let mailbox = |handle: &SandboxHandle| {
        handle.users().unwrap().into_iter().find(|user| user.jid == joe().to_string()).unwrap()
    };
    // Beside the message there may be a receipt.
    assert!(mailbox(&handle).mailbox >= 1 && !mailbox(&handle).connected);

    handle.phone_come_online(NUMBER).unwrap();
    let receipt = peer.receipt().await;
    assert_eq!((receipt.id, receipt.kind), (id, ReceiptType::Delivered));
    assert_eq!(peer.read().await, "written in a tunnel");
    line(&handle, |line| line.id == mine.to_string() && line.state == MessageState::Delivered).await;
    assert_eq!((mailbox(&handle).mailbox, mailbox(&handle).connected), (0, true));
    // Once more, and twice the same, changes nothing.
    handle.phone_come_online(NUMBER).unwrap();
    says(&mut peer, "still there?").await;
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_lost_session_and_a_second_look() {
    let (world, mut peer) = acquainted().await;
    let handle = world.sandbox.handle().clone();
    handle.phone_lose_session(NUMBER, "alice").unwrap();
    let id = peer.send(&joe(), "psst").await;
    assert_eq!(peer.ack().await.error, None);
    let asked = peer.receipt().await;
    assert_eq!((&asked.id, &asked.kind), (&id, &ReceiptType::Retry));
    assert!(asked.retry.as_ref().unwrap().keys.is_some(), "without a session the keys come at once");
    peer.send_again(&asked, "psst").await;
    assert_eq!(peer.ack().await.error, None);
    assert_eq!(peer.receipt().await.kind, ReceiptType::Delivered);
    line(&handle, |line| line.text.as_deref() == Some("psst")).await;

    handle.phone_ask_again(NUMBER, "alice", &id).unwrap();
    let asked = peer.receipt().await;
    assert_eq!(
        (&asked.id, asked.retry.as_ref().unwrap().count),
        (&id, 2),
        "as often as it was asked for before"
    );
    peer.send_again(&asked, "psst").await;
    assert_eq!(peer.ack().await.error, None);
    let shown = handle.phone_messages(NUMBER).unwrap();
    assert_eq!(shown.iter().filter(|line| line.id == id.to_string()).count(), 1);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn garbage_of_every_kind() {
    let (world, mut peer) = acquainted().await;
    let handle = world.sandbox.handle().clone();
    let id = handle.phone_send_garbage(NUMBER, "alice", Garbage::Ciphertext).unwrap();
    let message = peer.message().await;
    assert!(peer.decrypt(&message).is_err());
    peer.ask_again(&message).await;
    let copy = peer.message().await;
    assert_eq!(copy.id, id);
    peer.open(&copy).unwrap();
    peer.took(&copy).await;

    handle.phone_send_garbage(NUMBER, "alice", Garbage::Padding).unwrap();
    let message = peer.message().await;
    let plaintext = peer.decrypt(&message).unwrap();
    assert!(padding::unpad(&plaintext).is_err());
    handle.phone_send_garbage(NUMBER, "alice", Garbage::Protobuf).unwrap();
    let message = peer.message().await;
    let plaintext = peer.decrypt(&message).unwrap();
    let limits = world.profile.content.limits();
    let plain = padding::unpad(&plaintext).unwrap();
    assert!(content::decode(plain, &content::Context::direct("a", "b"), &limits).is_err());
    handle.phone_send_garbage(NUMBER, "alice", Garbage::Content).unwrap();
    assert_eq!(peer.content().await.verdict(), Verdict::Silent);
    handle.phone_send_text(NUMBER, "alice", "good again").unwrap();
    assert_eq!(peer.read().await, "good again");
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_deleted_phone_is_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with(config().data_dir(dir.path())).await;
    let handle = world.sandbox.handle().clone();
    let first = handle.create_phone(NUMBER, "Joe").unwrap();
    let mut peer = Box::pin(Peer::new(&world, "alice")).await;
    says(&mut peer, "hello").await;
    handle.phone_go_offline(NUMBER).unwrap();
    handle.delete_phone(NUMBER).unwrap();
    world.wait(|event: &Event| matches!(event.kind, EventKind::Removed { .. })).await;
    assert!(handle.phone_info(NUMBER).is_err() && handle.delete_phone(NUMBER).is_err());
    assert_eq!(peer.fetch(&joe()).await.bundle.unwrap_err().code, IqErrorCode::ItemNotFound);
    peer.send(&joe(), "hello?").await;
    assert_eq!(peer.ack().await.error, Some(MessageErrorCode::NoSuchRecipient));
    let left = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with("phone-")).count(), 0);
    // Somebody else may get the number.
    let second = handle.create_phone(NUMBER, "Jane").unwrap();
    assert_ne!(first.identity, second.identity);
    world.sandbox.shutdown().await;
    let world = World::with(config().data_dir(dir.path())).await;
    assert_eq!(world.sandbox.handle().phones().unwrap()[0].name, "Jane");
    world.sandbox.handle().delete_phone(NUMBER).unwrap();
    world.sandbox.shutdown().await;
    let world = World::with(config().data_dir(dir.path())).await;
    assert_eq!(world.sandbox.handle().phones().unwrap(), []);
    world.sandbox.shutdown().await;
}
