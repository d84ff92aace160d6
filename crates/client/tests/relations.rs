//! Reactions, edits, revokes and quotes: who may do what to which message, in every order of arrival, and once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use landbridge::proto::content::{self, Kind, Quote};
use landbridge::proto::message::{Message, MessageKey};
use landbridge::stanza::message::{DecryptFail, Enc, EncType};
use landbridge::stanza::receipt::ReceiptType;
use landbridge::stanza::{ClientStanza, Profile};
use landbridge::store::{ClientStore, MessageKey as StoredKey, SqliteStore, Target};
use landbridge::{
    Arrival, Author, Body, Client, ClientBuilder, Event, Events, MessageRef, QuotedMessage, StoredMessage,
};
use prost::Message as _;
use support::{Conn, OWN, Phone, Server, enlist_in, enlisted_store, event, now};

const BOB: &str = "14155551001";
const THUMB: &str = "👍";

/// A client with its server and one peer.
struct World {
    server: Server,
    client: Client,
    conn: Conn,
    events: Events,
    phone: Phone,
}

/// What the application sees of one event, in short.
#[derive(Debug, PartialEq)]
enum Seen {
    Text(String, String),
    Reaction(MessageRef, Option<String>),
    Edited(String, String),
    Revoked(String),
}

fn seen(event: &Event) -> Option<Seen> {
    Some(match event {
        Event::Message(message) => {
            Seen::Text(message.id.to_string(), message.text().unwrap_or_default().to_owned())
        }
        Event::Reaction(reaction) => Seen::Reaction(reaction.target.clone(), reaction.emoji.clone()),
        Event::Edited(edit) => {
            Seen::Edited(edit.target.id.to_string(), edit.content.text().unwrap().to_owned())
        }
        Event::Revoked(revoke) => Seen::Revoked(revoke.target.id.to_string()),
        _ => return None,
    })
}

fn text(id: &str, text: &str) -> Seen {
    Seen::Text(id.into(), text.into())
}

impl World {
    async fn new() -> Self {
        Self::with(|server| server.builder(enlisted_store())).await
    }

    async fn with(builder: impl FnOnce(&Server) -> ClientBuilder) -> Self {
        let mut server = Server::new();
        let client = builder(&server).build().unwrap();
        let events = client.events();
        let conn = server.connect(&client).await;
        let mut phone = Phone::new(BOB);
        phone.meet(&conn.uploads[0]);
        let mut world = Self { server, client, conn, events, phone };
        world.says("B0", content::text("hello"), now()).await;
        assert_eq!(world.next().await, text("B0", "hello"));
        world
    }

    /// Whether the content reaches the client, at this time of the server: its receipt says so.
    async fn says(&mut self, id: &str, content: Message, t: u64) {
        let enc = self.phone.seal(&content.encode_to_vec());
        let mut stanza = self.phone.stanza(id, enc);
        stanza.t = t;
        self.conn.send(&stanza.to_node(&self.conn.profile)).await;
        self.receipted(id).await;
    }

    async fn receipted(&mut self, id: &str) {
        match self.conn.next().await {
            ClientStanza::Receipt(receipt) => {
                assert_eq!((receipt.kind.clone(), receipt.id.as_str()), (ReceiptType::Delivered, id));
            }
            other => panic!("no receipt for {id}: {other:?}"),
        }
    }

    /// Sends a message of the client's own and gives its id.
    async fn own(&mut self, text: &str) -> String {
        let id = self.client.send_text(&self.phone.jid, text).await.unwrap();
        self.written(id.as_str()).await;
        id.to_string()
    }

    async fn written(&mut self, id: &str) {
        match self.conn.next().await {
            ClientStanza::Message(message) => assert_eq!(message.id.as_str(), id),
            other => panic!("no message {id}: {other:?}"),
        }
    }

    async fn next(&mut self) -> Seen {
        event(&mut self.events, seen).await
    }

    /// Everything that was sent until now has been seen by the application, and it was nothing.
    async fn nothing(&mut self, id: &str) {
        self.says(id, content::text("next"), now()).await;
        assert_eq!(self.next().await, text(id, "next"));
    }

    async fn stored(&self, id: &str) -> StoredMessage {
        let found = self.client.message(&self.phone.jid, &id.parse().unwrap()).await.unwrap();
        found.unwrap_or_else(|| panic!("no {id}"))
    }

    /// The reactions to a message as (own, emoji).
    async fn reactions(&self, id: &str) -> Vec<(bool, String)> {
        let reactions = self.stored(id).await.reactions;
        reactions.into_iter().map(|it| (it.sender == Author::Own, it.emoji)).collect()
    }

    fn theirs(&self, id: &str) -> MessageRef {
        MessageRef { author: Author::Peer(self.phone.jid.clone()), id: id.parse().unwrap() }
    }
}

fn ours(id: &str) -> MessageRef {
    MessageRef { author: Author::Own, id: id.parse().unwrap() }
}

/// A key as the peer writes it: `own` is the peer's.
fn key(own: bool, id: &str) -> MessageKey {
    if own { MessageKey::own(OWN, id) } else { MessageKey::theirs(OWN, id) }
}

fn edit(id: &str, text: &str, at_ms: i64) -> Message {
    content::edit(key(true, id), content::text(text), at_ms)
}

#[tokio::test]
async fn the_newest_reaction_of_each_side_counts_in_any_order() {
    let mut world = World::new().await;
    let mine = world.own("mine").await;
    world.says("R1", content::react(key(false, &mine), THUMB, 2_000), now()).await;
    assert_eq!(world.next().await, Seen::Reaction(ours(&mine), Some(THUMB.into())));
    // An earlier one that comes later changes nothing, and nor does a replay.
    world.says("R0", content::react(key(false, &mine), "😢", 1_000), now()).await;
    world.nothing("B1").await;
    assert_eq!(world.reactions(&mine).await, [(false, THUMB.to_owned())]);
    world.says("R2", content::react(key(false, &mine), "🎉", 3_000), now()).await;
    assert_eq!(world.next().await, Seen::Reaction(ours(&mine), Some("🎉".into())));

    // The peer reacts to a message of its own, and so do we.
    world.says("R3", content::react(key(true, "B1"), "😂", 4_000), now()).await;
    assert_eq!(world.next().await, Seen::Reaction(world.theirs("B1"), Some("😂".into())));
    let b1 = "B1".parse().unwrap();
    for emoji in ["❤️", THUMB] {
        let id = world.client.react(&world.phone.jid, &b1, emoji).await.unwrap();
        world.written(id.as_str()).await;
    }
    assert_eq!(world.reactions("B1").await, [(true, THUMB.to_owned()), (false, "😂".to_owned())]);
    let id = world.client.unreact(&world.phone.jid, &b1).await.unwrap();
    world.written(id.as_str()).await;
    assert_eq!(world.reactions("B1").await, [(false, "😂".to_owned())]);

    // Taken back, and an older one after that.
    world.says("R5", content::unreact(key(true, "B1"), 6_000), now()).await;
    assert_eq!(world.next().await, Seen::Reaction(world.theirs("B1"), None));
    world.says("R4", content::react(key(true, "B1"), "😡", 5_000), now()).await;
    world.nothing("B2").await;
    assert_eq!(world.reactions("B1").await, []);
}

#[tokio::test]
async fn a_replayed_reaction_is_receipted_and_told_once() {
    let mut world = World::new().await;
    let enc = world.phone.seal(&content::react(key(true, "B0"), THUMB, 1_000).encode_to_vec());
    let node = world.phone.stanza("R1", enc).to_node(&world.conn.profile);
    for _ in 0..3 {
        world.conn.send(&node).await;
        world.receipted("R1").await;
    }
    assert_eq!(world.next().await, Seen::Reaction(world.theirs("B0"), Some(THUMB.into())));
    world.nothing("B1").await;
    // A reaction to a reaction is no reaction to a message.
    world.says("R2", content::react(key(true, "R1"), THUMB, 1_000), now()).await;
    world.nothing("B2").await;
}

#[tokio::test]
async fn an_edit_replaces_words_in_time_and_in_order() {
    let mut world = World::new().await;
    let t = now();
    world.says("B1", content::text("Yes, at noom"), t).await;
    world.says("E2", edit("B1", "Yes, at noon", 2_000), t + 10).await;
    assert_eq!(world.next().await, text("B1", "Yes, at noom"));
    assert_eq!(world.next().await, Seen::Edited("B1".into(), "Yes, at noon".into()));
    world.says("E1", edit("B1", "Yes, at moon", 1_000), t + 20).await;
    world.nothing("B2").await;
    let stored = world.stored("B1").await;
    assert_eq!((stored.body.text(), stored.edited_ms), (Some("Yes, at noon"), Some(2_000)));
    // In the last second, and too late, by the server's times; what the author's clock says is no matter.
    world.says("E3", edit("B1", "in time", 3_000), t + 1_200).await;
    assert_eq!(world.next().await, Seen::Edited("B1".into(), "in time".into()));
    world.says("E4", edit("B1", "too late", 4_000), t + 1_201).await;
    world.nothing("B3").await;
    assert_eq!(world.stored("B1").await.body.text(), Some("in time"));

    // A text becomes no file, and what has no words gets none.
    let picture = content::edit(key(true, "B1"), image("a caption"), 5_000);
    world.says("E5", picture, t).await;
    world.says("B4", sticker(), t).await;
    world.says("E6", edit("B4", "words", 1_000), t).await;
    assert_eq!(world.next().await, text("B4", ""));
    // Of a picture the caption changes, and nothing else.
    world.says("B5", image("a catt"), t).await;
    assert_eq!(world.next().await, text("B5", "a catt"));
    let other = Message { image_message: image("a cat").image_message, ..Message::default() };
    world.says("E7", content::edit(key(true, "B5"), other, 1_000), t).await;
    assert_eq!(world.next().await, Seen::Edited("B5".into(), "a cat".into()));
    let Body::Content(content) = world.stored("B5").await.body else { panic!() };
    assert_eq!(content.kind(), Kind::Image);
}

fn image(caption: &str) -> Message {
    use landbridge::proto::message::ImageMessage;
    let image = ImageMessage {
        mimetype: Some("image/jpeg".into()),
        file_sha256: Some(vec![1; 32]),
        file_enc_sha256: Some(vec![2; 32]),
        media_key: Some(vec![3; 32]),
        file_length: Some(100),
        direct_path: Some("/v/t62/x".into()),
        caption: Some(caption.into()),
        ..ImageMessage::default()
    };
    Message { image_message: Some(Box::new(image)), ..Message::default() }
}

fn sticker() -> Message {
    use landbridge::proto::message::StickerMessage;
    let sticker = StickerMessage {
        mimetype: Some("image/webp".into()),
        file_sha256: Some(vec![1; 32]),
        file_enc_sha256: Some(vec![2; 32]),
        media_key: Some(vec![3; 32]),
        file_length: Some(100),
        direct_path: Some("/v/t62/x".into()),
        ..StickerMessage::default()
    };
    Message { sticker_message: Some(Box::new(sticker)), ..Message::default() }
}

#[tokio::test]
async fn nobody_edits_or_takes_back_what_is_ours() {
    let mut world = World::new().await;
    let mine = world.own("mine").await;
    // Whether it admits that the message is not its own or not.
    for (n, own) in [(0, true), (1, false)] {
        let forged = content::edit(key(own, &mine), content::text("yours"), 1_000);
        world.says(&format!("E{n}"), forged, now()).await;
        world.says(&format!("V{n}"), content::revoke(key(own, &mine)), now()).await;
    }
    world.nothing("B1").await;
    let stored = world.stored(&mine).await;
    assert_eq!((stored.author, stored.body.text(), stored.edited_ms), (Author::Own, Some("mine"), None));

    // A peer who uses one of our ids for a message of its own may do to that one what it likes, and hides none of ours.
    world.says(&mine, content::text("theirs"), now()).await;
    assert_eq!(world.next().await, text(&mine, "theirs"));
    world.says("V2", content::revoke(key(true, &mine)), now()).await;
    assert_eq!(world.next().await, Seen::Revoked(mine.clone()));
    assert_eq!(world.stored(&mine).await.body.text(), Some("mine"));
    let id = mine.parse().unwrap();
    let edit = world.client.edit(&world.phone.jid, &id, "still mine").await.unwrap();
    world.written(edit.as_str()).await;
    assert_eq!(world.stored(&mine).await.body.text(), Some("still mine"));
}

#[tokio::test]
async fn of_what_was_taken_back_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alice.db");
    let store = sqlite(&path);
    let mut world = World::with(|server| server.builder(store)).await;
    world.says("B1", content::text("regrettable words"), now()).await;
    assert_eq!(world.next().await, text("B1", "regrettable words"));
    world.says("E1", edit("B1", "regrettable, too", 1_000), now()).await;
    assert_eq!(world.next().await, Seen::Edited("B1".into(), "regrettable, too".into()));
    world.says("R1", content::react(key(true, "B1"), THUMB, 1_000), now()).await;
    world.says("V1", content::revoke(key(true, "B1")), now()).await;
    // The application that comes late does not hear of what is no more.
    world.events = world.client.events();
    assert_eq!(world.next().await, Seen::Revoked("B1".into()));
    // Nothing can be done to it any more, by anybody.
    world.says("E2", edit("B1", "never mind", 2_000), now()).await;
    world.says("R2", content::react(key(true, "B1"), THUMB, 2_000), now()).await;
    world.says("V2", content::revoke(key(true, "B1")), now()).await;
    world.nothing("B2").await;
    let b1 = "B1".parse().unwrap();
    for refused in [
        world.client.react(&world.phone.jid, &b1, THUMB).await,
        world.client.reply(&world.phone.jid, &b1, "what was that?").await,
    ] {
        assert_eq!(refused.unwrap_err().code(), "content");
    }
    let stored = world.stored("B1").await;
    assert!(matches!(stored.body, Body::Revoked { .. }) && stored.reactions.is_empty(), "{stored:?}");

    // Ours, too: the words that were replaced and the last ones.
    let mine = world.own("silly words").await;
    let id = mine.parse().unwrap();
    let edit = world.client.edit(&world.phone.jid, &id, "silly, too").await.unwrap();
    world.written(edit.as_str()).await;
    let revoke = world.client.revoke(&world.phone.jid, &id).await.unwrap();
    world.written(revoke.as_str()).await;
    assert!(matches!(world.stored(&mine).await.body, Body::Revoked { .. }));
    assert_eq!(world.client.edit(&world.phone.jid, &id, "no").await.unwrap_err().code(), "content");

    let World { client, conn, events, .. } = world;
    drop((client, conn, events));
    let mut store = reopen(&path).await;
    store.checkpoint().unwrap();
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"next"), "the search finds what is there");
    for gone in ["regrettable", "silly"] {
        assert!(!holds(gone.as_bytes()), "{gone} is still in the file");
    }
}

fn sqlite(path: &std::path::Path) -> SqliteStore {
    let mut store = SqliteStore::open(path).unwrap();
    enlist_in(&mut store);
    store
}

/// The tasks of a client that was dropped let the file go when they have ended.
async fn reopen(path: &std::path::Path) -> SqliteStore {
    loop {
        match SqliteStore::open(path) {
            Ok(store) => return store,
            Err(landbridge::store::StoreError::InUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn what_comes_before_its_message_waits_for_it_through_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alice.db");
    let store = sqlite(&path);
    let mut world = World::with(|server| server.builder(store)).await;
    let t = now();
    world.says("R1", content::react(key(true, "B1"), THUMB, 1_000), t).await;
    world.says("E2", edit("B1", "second", 2_000), t).await;
    world.says("E1", edit("B1", "first", 1_000), t).await;
    world.says("E3", edit("B1", "too late", 3_000), t + 1_201).await;
    world.says("V1", content::revoke(key(true, "B2")), t).await;
    world.nothing("B3").await;

    let World { mut server, client, conn, events, phone } = world;
    drop((client, conn, events));
    let client = server.builder(reopen(&path).await).build().unwrap();
    let events = client.events();
    let conn = server.connect(&client).await;
    let mut world = World { server, client, conn, events, phone };
    // The application died over the last one.
    assert_eq!(world.next().await, text("B3", "next"));
    world.says("B1", content::text("zeroth"), t).await;
    assert_eq!(world.next().await, text("B1", "zeroth"));
    assert_eq!(world.next().await, Seen::Reaction(world.theirs("B1"), Some(THUMB.into())));
    assert_eq!(world.next().await, Seen::Edited("B1".into(), "second".into()));
    let stored = world.stored("B1").await;
    assert_eq!((stored.body.text(), stored.edited_ms), (Some("second"), Some(2_000)));
    // Taken back before it came: never shown.
    world.says("B2", content::text("unwise"), t).await;
    assert_eq!(world.next().await, Seen::Revoked("B2".into()));
    assert!(matches!(world.stored("B2").await.body, Body::Revoked { .. }));
    world.nothing("B4").await;

    // All of it was confirmed but the last: after another restart, nothing but that comes.
    let World { mut server, client, conn, events, phone } = world;
    drop((client, conn, events));
    let client = server.builder(reopen(&path).await).build().unwrap();
    let events = client.events();
    let conn = server.connect(&client).await;
    let mut world = World { server, client, conn, events, phone };
    assert_eq!(world.next().await, text("B4", "next"));
    world.nothing("B5").await;
}

#[tokio::test]
async fn a_relation_that_was_not_confirmed_comes_again_as_it_counts_now() {
    let mut world = World::new().await;
    world.says("B1", content::text("one"), now()).await;
    world.says("R1", content::react(key(true, "B0"), THUMB, 1_000), now()).await;
    assert_eq!(world.next().await, text("B1", "one"));
    assert_eq!(world.next().await, Seen::Reaction(world.theirs("B0"), Some(THUMB.into())));
    world.says("E1", edit("B1", "two", 1_000), now()).await;
    world.says("R2", content::react(key(true, "B0"), "🎉", 2_000), now()).await;
    // A new stream, as after a crash: the reaction that was replaced meanwhile is history.
    world.events = world.client.events();
    assert_eq!(world.next().await, Seen::Edited("B1".into(), "two".into()));
    assert_eq!(world.next().await, Seen::Reaction(world.theirs("B0"), Some("🎉".into())));
    world.nothing("B2").await;
}

#[tokio::test]
async fn a_flood_about_unknown_messages_is_kept_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alice.db");
    let store = sqlite(&path);
    let mut profile = Profile::default();
    profile.content.waiting_per_chat = 8;
    let mut world = World::with(|server| server.builder(store).profile(profile)).await;
    for n in 0..300 {
        let content = content::react(key(true, &format!("X{n}")), THUMB, n);
        let enc = world.phone.seal(&content.encode_to_vec());
        let stanza = world.phone.stanza(&format!("F{n}"), enc);
        world.conn.send(&stanza.to_node(&world.conn.profile)).await;
    }
    let mut receipted = 0;
    while receipted < 300 {
        match world.conn.next().await {
            ClientStanza::Receipt(receipt) => receipted += receipt.ids().count(),
            other => panic!("{other:?}"),
        }
    }
    // What waits too long is given up when its message comes.
    let old = now() - 31 * 86_400;
    world.says("OLD", content::react(key(true, "X9"), THUMB, 1), old).await;
    world.says("X299", content::text("last"), now()).await;
    assert_eq!(world.next().await, text("X299", "last"));
    assert_eq!(world.next().await, Seen::Reaction(world.theirs("X299"), Some(THUMB.into())));
    for id in ["X9", "X0", "X290"] {
        world.says(id, content::text("of the flood"), now()).await;
        assert_eq!(world.next().await, text(id, "of the flood"));
    }
    world.nothing("B9").await;

    let World { client, conn, events, phone, .. } = world;
    drop((client, conn, events));
    let mut store = reopen(&path).await;
    let tx = store.begin().unwrap();
    let peer = phone.jid.to_string();
    let waiting = |id: i32| tx.waiting(&peer, &format!("X{id}")).unwrap().len();
    assert_eq!((0..300).map(waiting).sum::<usize>(), 6, "eight at most, and two were settled");
    let given_up = tx.message(&StoredKey::direct(peer.as_str(), "F3")).unwrap().unwrap();
    assert!(given_up.message.plaintext.is_empty() && given_up.confirmed);
    assert_eq!(tx.relations(&Target::theirs(peer, "X3")).unwrap(), []);
}

#[tokio::test]
async fn a_message_that_takes_a_placeholders_place_says_so() {
    let mut world = World::new().await;
    let stray = Enc::new(EncType::Message, vec![0x33; 60]);
    let stanza = world.phone.stanza("B1", stray.clone());
    world.conn.send(&stanza.to_node(&world.conn.profile)).await;
    let asked = event(&mut world.events, |event| match event {
        Event::Undecryptable { id, asked, .. } => Some((id.to_string(), *asked)),
        _ => None,
    });
    assert_eq!(asked.await, ("B1".to_owned(), 1));
    for _ in 0..2 {
        // The request and the ack.
        world.conn.next().await;
    }
    assert!(matches!(world.stored("B1").await.body, Body::Undecryptable { asked: 1 }));
    // A reaction to it waits, as to one that is unknown.
    world.says("R1", content::react(key(true, "B1"), THUMB, 1_000), now()).await;
    // A reaction that cannot be read makes no placeholder.
    let hidden = Enc { decrypt_fail: DecryptFail::Hide, ..stray };
    let stanza = world.phone.stanza("R2", hidden);
    world.conn.send(&stanza.to_node(&world.conn.profile)).await;
    for _ in 0..2 {
        world.conn.next().await;
    }

    let mut enc = world.phone.enc("found");
    enc.count = Some(1);
    let stanza = world.phone.stanza("B1", enc);
    world.conn.send(&stanza.to_node(&world.conn.profile)).await;
    world.receipted("B1").await;
    for _ in 0..2 {
        let arrival = event(&mut world.events, |event| match event {
            Event::Message(message) => Some((message.id.to_string(), message.arrival)),
            Event::Undecryptable { .. } => panic!("{event:?}"),
            _ => None,
        });
        assert_eq!(arrival.await, ("B1".to_owned(), Arrival::Recovered));
        // Once more from the store.
        world.events = world.client.events();
    }
    assert_eq!(world.next().await, text("B1", "found"));
    assert_eq!(world.next().await, Seen::Reaction(world.theirs("B1"), Some(THUMB.into())));
    world.says("B2", content::text("direct"), now()).await;
    let arrival = event(&mut world.events, |event| match event {
        Event::Message(message) => Some(message.arrival),
        _ => None,
    });
    assert_eq!(arrival.await, Arrival::Direct);
}

#[tokio::test]
async fn quotes_show_what_the_store_knows_and_else_what_is_claimed() {
    let mut world = World::new().await;
    let mine = world.own("what I said").await;
    let lie = content::text("what I never said");
    let quote = Quote { id: &mine, author: OWN, message: &lie };
    world.says("B1", content::reply(content::text("really?"), &quote), now()).await;
    assert_eq!(world.next().await, text("B1", "really?"));
    let quoted = world.stored("B1").await.quoted.unwrap();
    let QuotedMessage::Known { message, body } = *quoted else { panic!("{quoted:?}") };
    assert_eq!((message, body.text()), (ours(&mine), Some("what I said")));
    // It follows what becomes of the message.
    let id = world.client.edit(&world.phone.jid, &mine.parse().unwrap(), "what I meant").await.unwrap();
    world.written(id.as_str()).await;
    let QuotedMessage::Known { body, .. } = *world.stored("B1").await.quoted.unwrap() else { panic!() };
    assert_eq!(body.text(), Some("what I meant"));
    let id = world.client.revoke(&world.phone.jid, &mine.parse().unwrap()).await.unwrap();
    world.written(id.as_str()).await;
    let QuotedMessage::Known { body, .. } = *world.stored("B1").await.quoted.unwrap() else { panic!() };
    assert!(matches!(body, Body::Revoked { .. }));

    let unknown = Quote { id: "3EB0OLD", author: OWN, message: &lie };
    world.says("B2", content::reply(content::text("and that?"), &unknown), now()).await;
    let quoted = world.stored("B2").await.quoted.unwrap();
    let QuotedMessage::Claimed { id, author, message } = *quoted else { panic!("{quoted:?}") };
    assert_eq!((id.as_str(), author.to_string().as_str()), ("3EB0OLD", OWN));
    assert_eq!(message.unwrap().conversation, lie.conversation);

    // An edit of an answer keeps what it answers.
    world.says("E1", edit("B1", "really??", 1_000), now()).await;
    let stored = world.stored("B1").await;
    assert_eq!(stored.body.text(), Some("really??"));
    assert!(matches!(stored.quoted.as_deref(), Some(QuotedMessage::Known { .. })), "{stored:?}");
}

#[tokio::test]
async fn an_unknown_kind_reaches_the_application_as_it_came() {
    let mut world = World::new().await;
    // A message with field 4,000 alone, which no schema of today knows.
    let unknown = [0x82, 0xfa, 0x01, 0x03, b'n', b'e', b'w'];
    let enc = world.phone.seal(&unknown);
    let stanza = world.phone.stanza("B1", enc);
    world.conn.send(&stanza.to_node(&world.conn.profile)).await;
    world.receipted("B1").await;
    for _ in 0..2 {
        let message = event(&mut world.events, |event| match event {
            Event::Message(message) => Some((**message).clone()),
            _ => None,
        })
        .await;
        assert_eq!((message.id.as_str(), message.content.kind()), ("B1", Kind::Unsupported));
        assert_eq!((message.content.raw(), message.text()), (&unknown[..], None));
        world.events = world.client.events();
    }
    let Body::Content(content) = world.stored("B1").await.body else { panic!() };
    assert_eq!(content.raw(), unknown);
}
