//! What a phone says about the content of others: which rule, and what becomes of the message.

use landbridge_curve::PublicKey;
use landbridge_proto::content;
use landbridge_proto::message::{Message, MessageKey, ReactionMessage};
use landbridge_proto::padding::{PadLen, pad_with};
use landbridge_signal::{
    Address, IdentityKeyPair, MemorySignalStore, PreKeyBundle, PreKeyPublic, SignedPreKeyPublic, TrustPolicy,
    encrypt, process_bundle,
};
use landbridge_stanza::message::{Enc, EncType, MessageIn, MessageOut, MessageType};
use landbridge_wire::{Jid, Node};
use prost::Message as _;

use super::super::MessageState;
use super::net::{NOW, Net, profile, rng};

/// A partner's user, by hand: the bare Signal crate.
struct Peer {
    jid: Jid,
    store: MemorySignalStore,
    to: Address,
    sent: u32,
}

impl Peer {
    fn of(net: &mut Net, phone: &Jid) -> Self {
        let mut rng = rng(99);
        let mut store = MemorySignalStore::new(IdentityKeyPair::generate(&mut rng), 77);
        let listed = net.user(phone).listed.as_mut().unwrap();
        let prekey = listed.prekeys.pop_front().unwrap();
        let bundle = PreKeyBundle {
            registration_id: listed.registration,
            identity: PublicKey::from_bytes(listed.identity),
            signed_prekey: SignedPreKeyPublic {
                id: listed.signed.id.try_into().unwrap(),
                key: PublicKey::from_bytes(listed.signed.value),
                signature: listed.signed.signature,
            },
            prekey: Some(PreKeyPublic {
                id: prekey.id.try_into().unwrap(),
                key: PublicKey::from_bytes(prekey.value),
            }),
        };
        let to = Address::new(phone.user_part(), 0);
        let _ = process_bundle(&mut store, &to, &bundle, TrustPolicy::Accept, &mut rng).unwrap();
        Self { jid: Jid::interop(1, 108), store, to, sent: 0 }
    }

    /// A stanza around bytes that are encrypted as they are.
    fn raw(&mut self, to: &Jid, plaintext: &[u8]) -> Node {
        self.sent += 1;
        let sealed = encrypt(&mut self.store, &self.to, plaintext, TrustPolicy::Accept).unwrap();
        let enc = Enc::new(EncType::PreKey, sealed.bytes);
        let id = format!("PEER{}", self.sent).parse().unwrap();
        let message = MessageOut::new(to.clone(), id, MessageType::Text, enc);
        MessageIn::delivering(message, self.jid.clone(), NOW, Some("Alice".to_owned())).to_node(&profile())
    }

    fn padded(&mut self, to: &Jid, plaintext: &[u8]) -> Node {
        let mut padded = plaintext.to_vec();
        pad_with(&mut padded, PadLen::new(3).unwrap());
        self.raw(to, &padded)
    }

    fn content(&mut self, to: &Jid, content: &Message) -> Node {
        self.padded(to, &content.encode_to_vec())
    }
}

fn setup() -> (Net, Jid, Peer) {
    let mut net = Net::new();
    let phone = net.add("14155551001");
    net.settle();
    let peer = Peer::of(&mut net, &phone);
    net.user(&phone).sent.clear();
    (net, phone, peer)
}

fn answers(net: &mut Net, who: &Jid) -> Vec<String> {
    net.user(who).sent.drain(..).map(|node| node.to_string()).collect()
}

#[test]
fn a_partners_message_is_shown_with_name_and_text() {
    let (mut net, phone, mut peer) = setup();
    let stanza = peer.content(&phone, &content::text("Grüße 🐍"));
    net.give(&phone, &stanza);
    assert_eq!(net.shown(&phone), ["Grüße 🐍"]);
    let line = net.line(&phone, "PEER1");
    assert_eq!(
        (line.notify.as_deref(), line.kind.as_str(), line.state),
        (Some("Alice"), "text", MessageState::Shown)
    );
    assert_eq!(line.peer, "1-108@interop");
    assert_eq!(answers(&mut net, &phone), [r#"<receipt to="1-108@interop" id="PEER1"/>"#]);
    assert_eq!(net.troubles(&phone).len(), 0);
}

#[test]
fn bad_padding_is_refused_and_a_replay_too() {
    let (mut net, phone, mut peer) = setup();
    let stanza = peer.raw(&phone, b"\x0a\x02hi\x00");
    let refusal = r#"<ack id="PEER1" class="message" to="1-108@interop" error="491"/>"#;
    net.give(&phone, &stanza);
    assert_eq!(answers(&mut net, &phone), [refusal]);
    net.give(&phone, &stanza);
    assert_eq!(answers(&mut net, &phone), [refusal]);
    assert_eq!(net.troubles(&phone), ["D1"]);
    assert_eq!(net.phone(&phone).messages(0).0.len(), 0);
    // The session goes on.
    let stanza = peer.content(&phone, &content::text("better"));
    net.give(&phone, &stanza);
    assert_eq!(net.shown(&phone), ["better"]);
}

#[test]
fn broken_protobufs_are_refused_by_their_rule() {
    let (mut net, phone, mut peer) = setup();
    for (bytes, rule) in
        [(&b"\x0a"[..], "P1"), (b"\x0a\x7fx", "P2"), (b"\x0a\x02\xff\xfe", "P6"), (b"\x08\x01", "P5")]
    {
        let stanza = peer.padded(&phone, bytes);
        net.give(&phone, &stanza);
        assert_eq!(net.troubles(&phone).last(), Some(&rule));
        assert!(answers(&mut net, &phone)[0].contains(r#"error="491""#));
    }
}

#[test]
fn faults_of_content_are_named_and_what_can_be_taken_is_taken() {
    let (mut net, phone, mut peer) = setup();
    let two = Message { reaction_message: Some(ReactionMessage::default()), ..content::text("two contents") };
    for (content, rules) in [(two, vec!["V1"]), (content::text(""), vec!["V4"])] {
        net.user(&phone).seen.clear();
        let stanza = peer.content(&phone, &content);
        net.give(&phone, &stanza);
        assert_eq!(net.troubles(&phone), rules);
        assert!(answers(&mut net, &phone)[0].starts_with("<receipt"), "an ordinary receipt");
        assert_eq!(net.shown(&phone).len(), 1, "a placeholder is shown");
    }
}

#[test]
fn the_stanza_says_what_the_content_is() {
    let (mut net, phone, mut peer) = setup();
    let stanza = peer.content(&phone, &content::text("hi")).attr("type", "media");
    net.give(&phone, &stanza);
    assert_eq!(net.troubles(&phone), ["3"]);
    assert_eq!(net.shown(&phone), ["hi"], "receivers go by the content");
}

#[test]
fn a_revoke_of_the_receivers_own_message_is_not_acted_on() {
    let (mut net, a, b) = Net::pair();
    let mine = net.send(&a, &b, "mine");
    net.settle();
    let now = net.now;
    // The key claims that b wrote it.
    let revoke = content::revoke(MessageKey::own(a.to_string(), mine.as_str()));
    let (_, out) = net.phone(&b).send(&a, &revoke, now).unwrap();
    net.run(&b, out);
    net.settle();
    assert_eq!(net.troubles(&a), ["V14"]);
    assert_eq!(net.shown(&a).len(), 0);
    assert_eq!(net.line(&a, &mine).text.as_deref(), Some("mine"));
}

#[test]
fn reactions_and_replies_name_their_target() {
    let (mut net, a, b) = Net::pair();
    let id = net.send(&a, &b, "Lunch?");
    net.settle();
    let now = net.now;
    let asked = content::text("Lunch?");
    let author = a.to_string();
    let quote = content::Quote { id: &id, author: &author, message: &asked };
    for content in [
        content::react(MessageKey::theirs(author.as_str(), id.as_str()), "👍", 1),
        content::reply(content::text("Yes"), &quote),
    ] {
        let (_, out) = net.phone(&b).send(&a, &content, now).unwrap();
        net.run(&b, out);
    }
    net.settle();
    let lines: Vec<_> = net.phone(&a).messages(0).0.into_iter().skip(1).collect();
    assert_eq!((lines[0].kind.as_str(), lines[0].text.as_deref()), ("reaction", Some("👍")));
    assert_eq!((lines[1].kind.as_str(), lines[1].text.as_deref()), ("text", Some("Yes")));
    assert!(lines.iter().all(|line| line.about.as_deref() == Some(id.as_str())));
    assert_eq!(net.troubles(&a).len(), 0);
}

#[test]
fn group_stanzas_and_foreign_copies_are_not_shown() {
    let (mut net, phone, mut peer) = setup();
    let group = peer
        .content(&phone, &content::text("hi"))
        .attr("from", Jid::group("123"))
        .attr("participant", &peer.jid);
    net.give(&phone, &group);
    assert!(answers(&mut net, &phone)[0].contains(r#"error="500""#));
    let mut wrong = MessageIn::from_node(peer.content(&phone, &content::text("hi")).view()).unwrap();
    if let landbridge_stanza::message::MessageContent::Encrypted(encs) = &mut wrong.content {
        encs[0].version = 3;
    }
    net.give(&phone, &wrong.to_node(&profile()));
    assert!(answers(&mut net, &phone)[0].contains(r#"error="491""#));
    assert_eq!(net.troubles(&phone), ["enc"]);
    assert_eq!(net.shown(&phone).len(), 0);
}

#[test]
fn a_message_without_content_gets_an_ack_and_a_placeholder() {
    let (mut net, phone, peer) = setup();
    let stanza = Node::new("message")
        .attr("from", &peer.jid)
        .attr("id", "U1")
        .attr("t", NOW)
        .attr("type", "text")
        .child(Node::new("unavailable").attr("type", "view_once"));
    net.give(&phone, &stanza);
    net.give(&phone, &stanza);
    assert_eq!(net.shown(&phone).len(), 1);
    assert_eq!(net.line(&phone, "U1").kind, "unsupported");
    assert!(answers(&mut net, &phone)[0].starts_with("<ack"));
}
