//! Messages, receipts, the mailbox, blocking and deletion, between a client on a socket and a test phone, with real
//! Signal sessions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use landbridge_proto::{content, padding};
use landbridge_sandbox::events::EventKind;
use landbridge_sandbox::{Direction, MessageState};
use landbridge_signal::{
    Address, CiphertextKind, PreKeyBundle, PreKeyId, PreKeyPublic, SignedPreKeyId, SignedPreKeyPublic,
    TrustPolicy, decrypt, encrypt, process_bundle,
};
use landbridge_stanza::account::DeleteAccount;
use landbridge_stanza::ack::{AckClass, AckIn, AckOut};
use landbridge_stanza::blocklist::{BlockAction, GetBlocklist, UpdateBlocklist};
use landbridge_stanza::chatstate::{ChatState, ChatStateOut};
use landbridge_stanza::codes::{IqErrorCode, MessageErrorCode, NackCode};
use landbridge_stanza::ib::Ib;
use landbridge_stanza::keys::{FetchKeys, KeyBundle};
use landbridge_stanza::liveness::SetActive;
use landbridge_stanza::message::{Enc, EncType, MessageContent, MessageIn, MessageOut, MessageType};
use landbridge_stanza::notification::NotificationEvent;
use landbridge_stanza::presence::PresenceOut;
use landbridge_stanza::receipt::{ReceiptIn, ReceiptOut, ReceiptType};
use landbridge_stanza::retry::Retry;
use landbridge_stanza::{Inbound, MessageId, ReplyError, Request};
use landbridge_wire::{Jid, Node};
use prost::Message as _;
use support::*;
use tokio::io::AsyncWriteExt;

const NUMBER: &str = "14155551001";

fn phone() -> Jid {
    Jid::user(NUMBER)
}

fn bundle(keys: &KeyBundle) -> PreKeyBundle {
    PreKeyBundle {
        registration_id: keys.registration,
        identity: public(keys.identity),
        signed_prekey: SignedPreKeyPublic {
            id: SignedPreKeyId::new(keys.signed_prekey.id).unwrap(),
            key: public(keys.signed_prekey.value),
            signature: keys.signed_prekey.signature,
        },
        prekey: keys
            .prekey
            .map(|key| PreKeyPublic { id: PreKeyId::new(key.id).unwrap(), key: public(key.value) }),
    }
}

fn address(jid: &Jid) -> Address {
    Address::new(jid.to_string().split('@').next().unwrap(), 0)
}

/// Encrypts a text; the session is begun if there is none.
async fn text(account: &mut Account, client: &mut Client, to: &Jid, text: &str) -> MessageOut {
    use landbridge_signal::SessionStore;
    let peer = address(to);
    if account.store.load_session(&peer).unwrap().is_none() {
        let users = client.ask(&FetchKeys::of(to.clone())).await.unwrap();
        let keys = users[0].bundle.clone().unwrap();
        let _ =
            process_bundle(&mut account.store, &peer, &bundle(&keys), TrustPolicy::Accept, &mut rand::rng())
                .unwrap();
    }
    let mut plaintext = content::text(text).encode_to_vec();
    padding::pad(&mut plaintext, &mut rand::rng());
    let sealed = encrypt(&mut account.store, &peer, &plaintext, TrustPolicy::Accept).unwrap();
    let kind = match sealed.kind {
        CiphertextKind::PreKey => EncType::PreKey,
        CiphertextKind::Message => EncType::Message,
    };
    let id = MessageId::generate(&mut rand::rng());
    MessageOut::new(to.clone(), id, MessageType::Text, Enc::new(kind, sealed.bytes))
}

fn open(account: &mut Account, message: &MessageIn) -> String {
    let MessageContent::Encrypted(encs) = &message.content else { panic!() };
    let kind = if encs[0].kind == EncType::PreKey { CiphertextKind::PreKey } else { CiphertextKind::Message };
    let (peer, rng) = (address(&message.from), &mut rand::rng());
    let opened =
        decrypt(&mut account.store, &peer, kind, &encs[0].ciphertext, TrustPolicy::Accept, rng).unwrap();
    let plaintext = padding::unpad(&opened.plaintext).unwrap();
    landbridge_proto::message::Message::decode(plaintext).unwrap().conversation.unwrap()
}

async fn ack(client: &mut Client) -> AckIn {
    AckIn::from_node(client.next("ack").await.view()).unwrap()
}

async fn message(client: &mut Client) -> MessageIn {
    MessageIn::from_node(client.next("message").await.view()).unwrap()
}

async fn receipt(client: &mut Client) -> ReceiptIn {
    ReceiptIn::from_node(client.next("receipt").await.view()).unwrap()
}

/// Any message: the server does not look inside.
fn sealed(to: Jid, id: &str) -> MessageOut {
    MessageOut::new(to, id.parse().unwrap(), MessageType::Text, Enc::new(EncType::Message, vec![0x33; 64]))
}

struct Chat {
    world: World,
    alice: Account,
    client: Client,
}

impl Chat {
    async fn new() -> Self {
        let world = World::new().await;
        world.sandbox.handle().create_phone(NUMBER, "Joe").unwrap();
        let mut alice = world.enlist("alice");
        let client = world.log_in(&mut alice).await;
        Self { world, alice, client }
    }

    async fn send(&mut self, words: &str) -> MessageOut {
        let message = text(&mut self.alice, &mut self.client, &phone(), words).await;
        self.client.send(&message.to_node(&self.world.profile)).await;
        let ack = ack(&mut self.client).await;
        assert_eq!((ack.id.as_str(), ack.error, ack.t), (message.id.as_str(), None, Some(NOW)));
        message
    }

    /// Acks the next receipt and gives it.
    async fn receipt(&mut self) -> ReceiptIn {
        let receipt = receipt(&mut self.client).await;
        let ack = AckOut::answering(receipt.to_node(&self.world.profile).view(), None).unwrap();
        self.client.send(&ack.to_node(&self.world.profile)).await;
        receipt
    }
}

#[tokio::test]
async fn a_conversation() {
    let mut chat = Chat::new().await;
    let handle = chat.world.sandbox.handle().clone();
    let hello = chat.send("Hello Joe 🦀").await;
    assert_eq!(hello.encs[0].kind, EncType::PreKey);
    let delivered = chat.receipt().await;
    assert_eq!(
        (&delivered.from, &delivered.id, &delivered.kind),
        (&phone(), &hello.id, &ReceiptType::Delivered)
    );
    let shown = handle.phone_messages(NUMBER).unwrap();
    assert_eq!(shown[0].text.as_deref(), Some("Hello Joe 🦀"));
    assert_eq!(
        (shown[0].peer.as_str(), shown[0].state),
        (chat.alice.jid.to_string().as_str(), MessageState::Shown)
    );

    // The phone answers, under the user's identifier as well as under the address.
    let id = handle.phone_send_text(NUMBER, "alice", "Hi Alice").unwrap();
    let answer = message(&mut chat.client).await;
    assert_eq!((&answer.from, &answer.id, answer.t), (&phone(), &id, NOW));
    assert_eq!(answer.notify.as_deref(), Some("Joe"));
    assert_eq!(open(&mut chat.alice, &answer), "Hi Alice");
    chat.client.send(&ReceiptOut::delivered(phone(), id.clone()).to_node(&chat.world.profile)).await;
    let acked = ack(&mut chat.client).await;
    assert_eq!((acked.class, acked.id.as_str()), (AckClass::Receipt, id.as_str()));
    let waited = id.clone();
    chat.world
        .wait(move |e| matches!(&e.kind, EventKind::PhoneReceipt { id, .. } if *id == waited.as_str()))
        .await;
    let sent = handle.phone_messages(NUMBER).unwrap().pop().unwrap();
    assert_eq!((sent.direction, sent.state), (Direction::Sent, MessageState::Delivered));

    // Read, once.
    for _ in 0..2 {
        chat.client.send(&ReceiptOut::read(phone(), id.clone(), NOW).to_node(&chat.world.profile)).await;
        assert_eq!(ack(&mut chat.client).await.kind.as_deref(), Some("read"));
    }
    handle.phone_read(NUMBER, "alice", &hello.id).unwrap();
    let read = chat.receipt().await;
    assert_eq!((&read.id, &read.kind), (&hello.id, &ReceiptType::Read));

    // The ratchet has turned: from now on both send plain messages, and their order is kept.
    for n in 0..20 {
        let message = chat.send(&format!("message {n}")).await;
        assert_eq!(message.encs[0].kind, EncType::Message);
        handle.phone_send_text(NUMBER, "alice", &format!("answer {n}")).unwrap();
    }
    for n in 0..20 {
        let answer = message(&mut chat.client).await;
        assert_eq!(open(&mut chat.alice, &answer), format!("answer {n}"));
        chat.client.send(&ReceiptOut::delivered(phone(), answer.id).to_node(&chat.world.profile)).await;
    }
    for _ in 0..20 {
        chat.receipt().await;
    }
    let texts: Vec<_> = handle
        .phone_messages(NUMBER)
        .unwrap()
        .into_iter()
        .filter(|m| m.direction == Direction::Received)
        .collect();
    assert_eq!(texts.len(), 21);
    assert!(
        texts.iter().skip(1).enumerate().all(|(n, m)| m.text.as_deref() == Some(&format!("message {n}")))
    );
    assert_eq!(chat.world.broken(), Vec::<String>::new());
    chat.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn what_the_client_sets_is_dropped_and_repeats_are_acked_alone() {
    let mut chat = Chat::new().await;
    let message = text(&mut chat.alice, &mut chat.client, &phone(), "once").await;
    let node = message
        .to_node(&chat.world.profile)
        .attr("from", Jid::user("1999"))
        .attr("t", "1")
        .attr("notify", "somebody else");
    for _ in 0..3 {
        chat.client.send(&node).await;
        assert_eq!(ack(&mut chat.client).await.t, Some(NOW));
    }
    chat.receipt().await;
    let shown = chat.world.sandbox.handle().phone_messages(NUMBER).unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].peer, chat.alice.jid.to_string());
    let repeated =
        chat.world.events().into_iter().filter(|e| matches!(e.kind, EventKind::MessageRepeated { .. }));
    assert_eq!(repeated.count(), 2);
    chat.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn refused_messages() {
    let mut chat = Chat::new().await;
    let profile = chat.world.profile.clone();
    let good = sealed(phone(), "A");
    let with = |change: &dyn Fn(&mut MessageOut)| {
        let mut message = good.clone();
        change(&mut message);
        message.to_node(&profile)
    };
    let group = Jid::group("120363025246125486");
    for (node, code, words) in [
        (sealed(Jid::user("14159999999"), "A").to_node(&profile), 404, "there is no user"),
        (sealed(phone().with_device(2), "A").to_node(&profile), 404, "there is no user"),
        (with(&|m| m.encs[0].version = 3), 479, "v=3"),
        (with(&|m| m.encs[0].kind = EncType::SenderKey), 400, "skmsg"),
        (with(&|m| m.encs.push(m.encs[0].clone())), 400, "2 encrypted copies"),
        (with(&|m| m.to = group.clone()), 405, "groups"),
        (
            Node::new("message").attr("to", phone()).attr("id", "A").attr("type", "text"),
            400,
            "<message> lacks the child <enc>",
        ),
    ] {
        chat.client.send(&node).await;
        let ack = ack(&mut chat.client).await;
        assert_eq!((ack.id.as_str(), ack.error), ("A", Some(MessageErrorCode::from(code))), "{words}");
        let said = chat.world.broken().pop().unwrap();
        assert!(said.contains(words), "{said}");
    }
    // Nothing of it has reached the phone, and the id is still free.
    let message = chat.send("still here").await;
    assert_eq!(chat.receipt().await.id, message.id);
    assert_eq!(chat.world.sandbox.handle().phone_messages(NUMBER).unwrap().len(), 1);
    chat.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn too_many_messages() {
    let mut config = config();
    config.chat.message_burst = 3;
    config.chat.messages_per_second = 2;
    let world = World::with(config).await;
    let (mut alice, bob) = (world.enlist("alice"), world.enlist("bob"));
    let mut client = world.log_in(&mut alice).await;
    let mut codes = Vec::new();
    for n in 0..5 {
        client.send(&sealed(bob.jid.clone(), &n.to_string()).to_node(&world.profile)).await;
        codes.push(ack(&mut client).await.error);
    }
    let limited = Some(MessageErrorCode::RateOverlimit);
    assert_eq!(codes, [None, None, None, limited, limited]);
    // A repeat is not a new message, and time heals.
    client.send(&sealed(bob.jid.clone(), "0").to_node(&world.profile)).await;
    assert_eq!(ack(&mut client).await.error, None);
    world.sandbox.handle().advance_clock(1).unwrap();
    client.send(&sealed(bob.jid.clone(), "3").to_node(&world.profile)).await;
    assert_eq!(ack(&mut client).await.error, None);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn the_mailbox() {
    let world = World::new().await;
    world.sandbox.handle().create_phone(NUMBER, "Joe").unwrap();
    let handle = world.sandbox.handle().clone();
    let mut alice = world.enlist("alice");
    drop(world.log_in(&mut alice).await);
    world.wait(|event| matches!(event.kind, EventKind::Disconnected { .. })).await;
    let ids: Vec<_> =
        (0..9).map(|n| handle.phone_send_text(NUMBER, "alice", &format!("text {n}")).unwrap()).collect();

    // Nothing comes before <active/>; then a preview, a first part, the rest when it is asked for, and the end.
    let mut client = world.log_in_passive(&alice).await;
    client.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    assert!(client.waiting.is_empty());
    client.ask(&SetActive::Active).await.unwrap();
    let Inbound::Ib(Ib::OfflinePreview(preview)) = client.inbound().await else { panic!() };
    assert_eq!((preview.count, preview.message, preview.receipt), (9, 9, 0));
    for (n, id) in ids.iter().enumerate().take(5) {
        let Inbound::Message(message) = client.inbound().await else { panic!() };
        assert_eq!((&message.id, message.offline), (id, Some(n as u32)));
        assert_eq!(open(&mut alice, &message), format!("text {n}"));
    }
    client.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    assert!(client.waiting.is_empty(), "more came than the first part");
    client.send(&Ib::OfflineBatch { count: 3 }.to_node(&world.profile)).await;
    for _ in 5..8 {
        let Inbound::Message(_) = client.inbound().await else { panic!() };
    }
    client.send(&Ib::OfflineBatch { count: 100 }.to_node(&world.profile)).await;
    let Inbound::Message(last) = client.inbound().await else { panic!() };
    assert_eq!(last.offline, Some(8));
    assert_eq!(client.inbound().await, Inbound::Ib(Ib::Offline { count: 9 }));

    // Live stanzas come behind it.
    let live = handle.phone_send_text(NUMBER, "alice", "live").unwrap();
    let Inbound::Message(message) = client.inbound().await else { panic!() };
    assert_eq!((message.id, message.offline), (live, None));

    // What was taken is gone; the rest comes again. One receipt may name many.
    let mut taken = ReceiptOut::delivered(phone(), ids[0].clone());
    taken.more_ids = ids[1..7].to_vec();
    client.send(&taken.to_node(&world.profile)).await;
    client
        .send(&AckOut::answering(last.to_node(&world.profile).view(), None).unwrap().to_node(&world.profile))
        .await;
    client.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    client.socket.shutdown().await.unwrap();
    world
        .wait(|event| event.connection == Some(3) && matches!(event.kind, EventKind::Disconnected { .. }))
        .await;
    let mut client = world.log_in_passive(&alice).await;
    client.ask(&SetActive::Active).await.unwrap();
    let Inbound::Ib(Ib::OfflinePreview(preview)) = client.inbound().await else { panic!() };
    assert_eq!(preview.count, 2);
    let Inbound::Message(again) = client.inbound().await else { panic!() };
    assert_eq!(again.id, ids[7]);
    world.sandbox.shutdown().await;
}

/// A client that never asks for its mailbox gets it in parts, as it takes them.
#[tokio::test]
async fn the_mailbox_of_a_client_that_does_not_ask() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.enlist("alice"), world.enlist("bob"));
    let mut b = world.log_in(&mut bob).await;
    for n in 0..12 {
        b.send(&sealed(alice.jid.clone(), &format!("m{n}")).to_node(&world.profile)).await;
        ack(&mut b).await;
    }
    let mut a = world.log_in_passive(&alice).await;
    a.ask(&alice.upload(20)).await.unwrap();
    a.ask(&SetActive::Active).await.unwrap();
    for n in 0..12 {
        let message = message(&mut a).await;
        assert_eq!(message.id.as_str(), format!("m{n}"));
        a.send(&ReceiptOut::delivered(bob.jid.clone(), message.id).to_node(&world.profile)).await;
    }
    while !a.next("ib").await.view().children().any(|child| child.is("offline")) {}
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn mail_is_kept_for_thirty_days() {
    let world = World::new().await;
    world.sandbox.handle().create_phone(NUMBER, "Joe").unwrap();
    let handle = world.sandbox.handle().clone();
    let mut alice = world.enlist("alice");
    drop(world.log_in(&mut alice).await);
    world.wait(|event| matches!(event.kind, EventKind::Disconnected { .. })).await;
    handle.phone_send_text(NUMBER, "alice", "old").unwrap();
    handle.advance_clock(29 * 86_400).unwrap();
    handle.phone_send_text(NUMBER, "alice", "new").unwrap();
    world.publish_keys();
    drop(world.log_in_passive(&alice).await);
    world.wait(|e| e.connection == Some(3) && matches!(e.kind, EventKind::Disconnected { .. })).await;
    handle.advance_clock(2 * 86_400).unwrap();
    let mailbox: Vec<_> = handle.users().unwrap().into_iter().map(|user| user.mailbox).collect();
    assert_eq!(mailbox, [0, 1]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn blocking() {
    let mut chat = Chat::new().await;
    let handle = chat.world.sandbox.handle().clone();
    let list = chat.client.ask(&GetBlocklist).await.unwrap();
    assert!(list.items.is_empty());
    let block =
        UpdateBlocklist { jid: phone(), action: BlockAction::Block, dhash: list.dhash.clone(), pn_jid: None };
    let new = chat.client.ask(&block).await.unwrap().unwrap();
    assert_eq!(new.items[0].jid, phone());
    assert_ne!(new.dhash, list.dhash);
    assert_eq!(chat.client.ask(&GetBlocklist).await.unwrap(), new);

    // The phone sees its message accepted; nobody else sees it.
    let id = handle.phone_send_text(NUMBER, "alice", "hello?").unwrap();
    chat.client.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    assert!(chat.client.waiting.is_empty());
    let sent = handle.phone_messages(NUMBER).unwrap().pop().unwrap();
    assert_eq!((sent.id.as_str(), sent.state), (id.as_str(), MessageState::Sent));

    let refused = |answer: Result<_, ReplyError>| match answer.map(|_: Option<_>| ()).unwrap_err() {
        ReplyError::Refused(error) => error.code,
        other => panic!("{other:?}"),
    };
    let of = |jid: Jid| UpdateBlocklist { jid, dhash: None, ..block.clone() };
    assert_eq!(refused(chat.client.ask(&block).await), IqErrorCode::Conflict);
    assert_eq!(refused(chat.client.ask(&of(Jid::user("14159999999"))).await), IqErrorCode::ItemNotFound);
    assert_eq!(refused(chat.client.ask(&of(chat.alice.jid.clone())).await), IqErrorCode::BadRequest);
    assert_eq!(refused(chat.client.ask(&of(Jid::group("1"))).await), IqErrorCode::BadRequest);

    // What was sent meanwhile does not come later.
    let unblock = UpdateBlocklist { action: BlockAction::Unblock, dhash: new.dhash, ..block };
    assert_eq!(chat.client.ask(&unblock).await.unwrap().unwrap(), list);
    let id = handle.phone_send_text(NUMBER, "alice", "again").unwrap();
    assert_eq!(message(&mut chat.client).await.id, id);

    // The other way round: one tick, no receipt.
    handle.phone_block(NUMBER, "alice", BlockAction::Block).unwrap();
    chat.send("are you there?").await;
    chat.client.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    assert!(chat.client.waiting.is_empty());
    chat.world.sandbox.shutdown().await;
}

/// What was written before is not told of after, and typing goes neither way.
#[tokio::test]
async fn between_who_has_blocked_and_who_is_blocked_there_is_silence() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.enlist("alice"), world.enlist("bob"));
    let (mut a, mut b) = (world.log_in(&mut alice).await, world.log_in(&mut bob).await);
    for client in [&mut a, &mut b] {
        client.send(&PresenceOut::Available { name: None }.to_node(&world.profile)).await;
    }
    a.send(&sealed(bob.jid.clone(), "before").to_node(&world.profile)).await;
    ack(&mut a).await;
    let before = message(&mut b).await;
    let block =
        UpdateBlocklist { jid: alice.jid.clone(), action: BlockAction::Block, dhash: None, pn_jid: None };
    b.ask(&block).await.unwrap();
    // Bob's client says that it has the message; Alice does not hear of it.
    b.send(&ReceiptOut::delivered(alice.jid.clone(), before.id).to_node(&world.profile)).await;
    for (from, to) in [(&mut a, &bob.jid), (&mut b, &alice.jid)] {
        from.send(&ChatStateOut { to: to.clone(), state: ChatState::Composing }.to_node(&world.profile))
            .await;
        from.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    }
    a.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    assert_eq!(a.waiting.len(), 0, "{:?}", a.waiting);
    let told: Vec<_> = b.waiting.drain(..).filter(|stanza| !stanza.view().is("ack")).collect();
    assert!(told.is_empty(), "{told:?}");
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_receipt_waits_in_the_mailbox_of_who_is_away() {
    let mut chat = Chat::new().await;
    let handle = chat.world.sandbox.handle().clone();
    handle.phone_go_offline(NUMBER).unwrap();
    let id = chat.send("see you").await.id;
    chat.client.socket.shutdown().await.unwrap();
    chat.client.rest().await;
    chat.world.wait(|event| matches!(event.kind, EventKind::Disconnected { .. })).await;
    handle.phone_come_online(NUMBER).unwrap();
    chat.world.wait(|event| matches!(event.kind, EventKind::ReceiptForwarded { .. })).await;
    for _ in 0..2 {
        // Until it is acked, it comes with every connection.
        let mut client = chat.world.log_in_passive(&chat.alice).await;
        client.ask(&SetActive::Active).await.unwrap();
        let receipt = receipt(&mut client).await;
        assert_eq!((receipt.id, receipt.offline), (id.clone(), Some(0)));
    }
    chat.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn deletion() {
    let mut chat = Chat::new().await;
    chat.client.ask(&DeleteAccount).await.unwrap();
    assert_eq!(chat.client.inbound().await, Inbound::End);
    assert!(chat.client.rest().await.is_empty());
    let (_, first) = chat.world.connect(&chat.alice.noise, &chat.world.payload(&chat.alice).encode()).await;
    assert_eq!(first.unwrap().view().attr_str("reason").as_deref(), Some("401"));
    // Nobody is there any more.
    let refused = chat.world.sandbox.handle().phone_send_text(NUMBER, &chat.alice.jid.to_string(), "hello?");
    assert!(refused.is_err());
    // A new enlistment has a new address.
    let old = chat.alice.jid.clone();
    let mut alice = chat.world.enlist_again(chat.alice);
    assert_ne!(alice.jid, old);
    alice.uploaded = false;
    chat.world.log_in(&mut alice).await;
    chat.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_new_identity_is_told_to_contacts() {
    let mut chat = Chat::new().await;
    chat.send("hello").await;
    chat.receipt().await;
    let (mut bob, old) = (chat.world.enlist("bob"), chat.alice.clone());
    let mut b = chat.world.log_in(&mut bob).await;
    // Bob has met Alice, too.
    b.send(&sealed(old.jid.clone(), "b1").to_node(&chat.world.profile)).await;
    ack(&mut b).await;

    let fresh = Account { jid: old.jid.clone(), noise: old.noise.clone(), ..Account::new("alice") };
    let mut alice = chat.world.enlist_again(fresh);
    assert_eq!(alice.jid, old.jid);
    let Inbound::Notification(told) = b.inbound().await else { panic!() };
    assert_eq!((&told.from, &told.event), (&old.jid, &NotificationEvent::IdentityChanged { lid: None }));
    let info = &chat.world.sandbox.handle().users().unwrap()[1];
    assert_eq!((info.identifier.as_deref(), info.prekeys), (Some("alice"), 0));

    // The phone begins a new session under the new keys.
    let mut client = chat.world.log_in(&mut alice).await;
    chat.world.wait(|e| matches!(&e.kind, EventKind::Taken { class, .. } if class == "notification")).await;
    chat.world.sandbox.handle().phone_send_text(NUMBER, "alice", "who are you?").unwrap();
    let message = loop {
        let message = message(&mut client).await;
        if message.from == phone() {
            break message;
        }
    };
    assert_eq!(open(&mut alice, &message), "who are you?");
    chat.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn an_undecryptable_message_is_asked_for_again() {
    let mut chat = Chat::new().await;
    // No session at the phone.
    chat.client.send(&sealed(phone(), "A").to_node(&chat.world.profile)).await;
    ack(&mut chat.client).await;
    let asked = chat.receipt().await;
    assert_eq!((asked.kind, asked.id.as_str()), (ReceiptType::Retry, "A"));
    let Some(Retry { count: 1, keys: Some(keys), registration, .. }) = asked.retry else { panic!() };
    let bundle = PreKeyBundle {
        registration_id: registration,
        identity: public(keys.identity),
        signed_prekey: SignedPreKeyPublic {
            id: SignedPreKeyId::new(keys.signed_prekey.id).unwrap(),
            key: public(keys.signed_prekey.value),
            signature: keys.signed_prekey.signature,
        },
        prekey: keys.prekey.map(|k| PreKeyPublic { id: PreKeyId::new(k.id).unwrap(), key: public(k.value) }),
    };
    let peer = address(&phone());
    let rng = &mut rand::rng();
    let _ = process_bundle(&mut chat.alice.store, &peer, &bundle, TrustPolicy::Accept, rng).unwrap();
    let mut again = text(&mut chat.alice, &mut chat.client, &phone(), "now you can").await;
    again.id = "A".parse().unwrap();
    again.encs[0].count = Some(1);
    again.t = asked.t;
    chat.client.send(&again.to_node(&chat.world.profile)).await;
    ack(&mut chat.client).await;
    let delivered = chat.receipt().await;
    assert_eq!((delivered.kind, delivered.id.as_str()), (ReceiptType::Delivered, "A"));
    let shown = chat.world.sandbox.handle().phone_messages(NUMBER).unwrap();
    assert_eq!(shown[0].text.as_deref(), Some("now you can"));
    assert!(chat.world.broken().iter().any(|said| said.starts_with("[signal]")));
    chat.world.sandbox.shutdown().await;
}

/// The client cannot read a message of the phone and asks for it again.
#[tokio::test]
async fn a_phone_answers_a_retry() {
    let mut chat = Chat::new().await;
    let id = chat.world.sandbox.handle().phone_send_text(NUMBER, "alice", "can you read this?").unwrap();
    let first = message(&mut chat.client).await;
    let retry = Retry {
        id: id.clone(),
        t: first.t,
        count: 1,
        error: None,
        registration: chat.alice.registration,
        keys: Some(landbridge_stanza::retry::RetryKeys {
            identity: *chat.alice.identity.public().as_bytes(),
            prekey: Some(chat.alice.upload(1).prekeys[0]),
            signed_prekey: chat.alice.wire_signed(),
            device_identity: None,
        }),
    };
    let profile = chat.world.profile.clone();
    chat.client.send(&ReceiptOut::retry(phone(), retry).to_node(&profile)).await;
    chat.client
        .send(&AckOut::answering(first.to_node(&profile).view(), None).unwrap().to_node(&profile))
        .await;
    let second = message(&mut chat.client).await;
    assert_eq!(second.id, id);
    let MessageContent::Encrypted(encs) = &second.content else { panic!() };
    assert_eq!(encs[0].count, Some(1));
    assert_eq!(open(&mut chat.alice, &second), "can you read this?");
    chat.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_nack_ends_a_message() {
    let mut chat = Chat::new().await;
    chat.world.sandbox.handle().phone_send_text(NUMBER, "alice", "hm").unwrap();
    let got = message(&mut chat.client).await;
    let nack =
        AckOut::answering(got.to_node(&chat.world.profile).view(), Some(NackCode::InvalidProtobuf)).unwrap();
    chat.client.send(&nack.to_node(&chat.world.profile)).await;
    chat.client.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    assert!(chat.world.events().iter().any(|e| matches!(e.kind, EventKind::Nacked { code: 491, .. })));
    assert_eq!(chat.world.sandbox.handle().users().unwrap()[1].mailbox, 0);
    chat.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn receipts_for_what_was_never_sent_go_nowhere() {
    let mut chat = Chat::new().await;
    chat.client
        .send(&ReceiptOut::delivered(phone(), "never".parse().unwrap()).to_node(&chat.world.profile))
        .await;
    assert_eq!(ack(&mut chat.client).await.id, "never");
    assert!(chat.world.broken().pop().unwrap().starts_with("[stanzas 2.2]"));
    assert!(!chat.world.events().iter().any(|e| matches!(e.kind, EventKind::ReceiptForwarded { .. })));
    let mut many = ReceiptOut::delivered(phone(), "0".parse().unwrap());
    many.more_ids = (1..257).map(|n| n.to_string().parse().unwrap()).collect();
    chat.client.send(&many.to_node(&chat.world.profile)).await;
    assert!(matches!(chat.client.inbound().await, Inbound::StreamError(_)));
    chat.world.sandbox.shutdown().await;
}

#[tokio::test]
async fn typing_reaches_who_is_there() {
    let world = World::new().await;
    let (mut alice, mut bob) = (world.enlist("alice"), world.enlist("bob"));
    let (mut a, mut b) = (world.log_in(&mut alice).await, world.log_in(&mut bob).await);
    let typing = ChatStateOut { to: bob.jid.clone(), state: ChatState::Composing }.to_node(&world.profile);
    // Not before the app is in front.
    a.send(&typing).await;
    a.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    b.send(&PresenceOut::Available { name: Some("Bob".into()) }.to_node(&world.profile)).await;
    b.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    assert!(b.waiting.is_empty());
    a.send(&typing).await;
    let Inbound::ChatState(state) = b.inbound().await else { panic!() };
    assert_eq!((&state.from, state.state), (&alice.jid, ChatState::Composing));
    // The name goes with the next message.
    b.send(&sealed(alice.jid.clone(), "m").to_node(&world.profile)).await;
    assert_eq!(message(&mut a).await.notify.as_deref(), Some("Bob"));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn reaching_is_off_by_default_and_answered_when_on() {
    let mut config = config();
    config.profile.reach.enabled = true;
    let world = World::with(config).await;
    world.sandbox.handle().create_phone(NUMBER, "Joe").unwrap();
    let mut alice = world.enlist("alice");
    let mut client = world.log_in(&mut alice).await;
    let reach = landbridge_stanza::reach::Reach { jid: phone() };
    assert_eq!(client.ask(&reach).await.unwrap().as_str(), "enabled");
    let nobody = landbridge_stanza::reach::Reach { jid: Jid::user("14159999999") };
    assert_eq!(client.ask(&nobody).await.unwrap().as_str(), "not_eligible");

    let strict = World::new().await;
    let mut alice = strict.enlist("alice");
    let mut client = strict.log_in(&mut alice).await;
    let id = "x-1";
    client.send(&Request::to_node(&reach, id, &strict.profile)).await;
    let Inbound::Reply(reply) = client.inbound().await else { panic!() };
    assert_eq!(reply.error.unwrap().code, IqErrorCode::NotImplemented);
    world.sandbox.shutdown().await;
    strict.sandbox.shutdown().await;
}

/// Messages that are delivered out of order are opened all the same, either way.
#[tokio::test]
async fn out_of_order() {
    let mut chat = Chat::new().await;
    let handle = chat.world.sandbox.handle().clone();
    chat.send("first").await;
    chat.receipt().await;
    handle.hold_messages(NUMBER, 5, 7).unwrap();
    let mut ids = Vec::new();
    for n in 0..5 {
        assert_eq!(handle.phone_messages(NUMBER).unwrap().len(), 1, "{n} came through");
        ids.push(chat.send(&format!("held {n}")).await.id);
    }
    let mut delivered = Vec::new();
    for _ in 0..5 {
        delivered.push(chat.receipt().await.id);
    }
    assert_ne!(delivered, ids);
    let mut texts: Vec<_> =
        handle.phone_messages(NUMBER).unwrap().into_iter().skip(1).map(|line| line.text.unwrap()).collect();
    texts.sort();
    assert_eq!(texts, ["held 0", "held 1", "held 2", "held 3", "held 4"]);

    handle.hold_messages("alice", 10, 3).unwrap();
    for n in 0..4 {
        handle.phone_send_text(NUMBER, "alice", &format!("back {n}")).unwrap();
    }
    chat.client.ask(&landbridge_stanza::liveness::Ping).await.unwrap();
    assert!(!chat.client.waiting.iter().any(|stanza| stanza.view().is("message")));
    handle.release_messages("alice").unwrap();
    let mut texts = Vec::new();
    for _ in 0..4 {
        let message = message(&mut chat.client).await;
        texts.push(open(&mut chat.alice, &message));
    }
    assert!(!texts.is_sorted());
    texts.sort();
    assert_eq!(texts, ["back 0", "back 1", "back 2", "back 3"]);
    // Then everything is as before.
    chat.send("last").await;
    assert_eq!(chat.world.broken(), Vec::<String>::new());
    chat.world.sandbox.shutdown().await;
}
