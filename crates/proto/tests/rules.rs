//! Rules and builders beyond the vectors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{bytes, content as good, name};
use landbridge_proto::{
    content::{
        self, Content, Context, Encryption, Kind, Limits, Quote, Rule, Verdict, Wrapper, decode,
        ephemeral_setting, react, reply, revoke, sender_key, text, unreact,
    },
    message::{
        ContactMessage, ContactsArrayMessage, ContextInfo, DocumentMessage, ExtendedTextMessage,
        FutureProofMessage, ImageMessage, LocationMessage, Message, MessageKey, ProtocolMessage,
    },
};
use prost::Message as _;

const INTEROP: &str = "1-10853634039893@interop";
const PHONE: &str = "14155551001@s.whatsapp.net";
const GROUP: &str = "120363025246125888@g.us";
const MEMBER: &str = "14155551002@s.whatsapp.net";
const ID: &str = "3EB0C767D26A1D8F7E5B21";

fn direct(message: &Message) -> Content {
    decode(&message.encode_to_vec(), &Context::direct(INTEROP, PHONE), &Limits::default()).unwrap()
}

fn group(message: &Message, encryption: Encryption) -> Content {
    decode(&message.encode_to_vec(), &Context::group(GROUP, INTEROP, encryption), &Limits::default()).unwrap()
}

/// Verdict and broken rules.
fn outcome(content: &Content) -> (Verdict, Vec<Rule>) {
    (content.verdict(), content.findings().iter().map(|found| found.rule).collect())
}

fn vector(entry_name: &str) -> Vec<u8> {
    bytes(good().iter().find(|entry| name(entry) == entry_name).unwrap())
}

fn image() -> ImageMessage {
    let message = Message::decode(&*vector("image")).unwrap();
    *message.image_message.unwrap()
}

fn with_image(image: ImageMessage) -> Message {
    Message { image_message: Some(Box::new(image)), ..Message::default() }
}

fn extended(text: ExtendedTextMessage) -> Message {
    Message { extended_text_message: Some(Box::new(text)), ..Message::default() }
}

fn wrapped(message: Message) -> Option<Box<FutureProofMessage>> {
    Some(Box::new(FutureProofMessage { message: Some(Box::new(message)) }))
}

#[test]
fn builders_write_the_vectors() {
    let asked = text("Lunch tomorrow?");
    let quote = Quote { id: ID, author: PHONE, message: &asked };
    let filler = Message::decode(&*vector("sender-key")).unwrap().sender_key_distribution_message.unwrap();
    let built = [
        ("text", text("Hello")),
        ("reply", reply(text("Yes, at noon"), &quote)),
        ("reaction", react(MessageKey::theirs(PHONE, ID), "👍", 1_757_404_800_123)),
        ("reaction-own", react(MessageKey::own(PHONE, ID), "❤️", 1_757_404_800_123)),
        ("reaction-group", react(MessageKey::member(GROUP, ID, MEMBER), "😂", 1_757_404_800_123)),
        ("reaction-revoke", unreact(MessageKey::theirs(PHONE, ID), 1_757_404_801_123)),
        ("revoke", revoke(MessageKey::own(PHONE, ID))),
        ("revoke-admin", revoke(MessageKey::member(GROUP, ID, MEMBER))),
        ("edit", content::edit(MessageKey::own(PHONE, ID), text("Lunch on Friday?"), 1_757_404_860_000)),
        ("sender-key", sender_key(GROUP, filler.axolotl_sender_key_distribution_message.unwrap())),
    ];
    for (name, message) in built {
        assert_eq!(hex::encode(message.encode_to_vec()), hex::encode(vector(name)), "{name}");
    }
    let setting = direct(&ephemeral_setting(0, 1_757_404_800));
    assert_eq!((setting.kind(), outcome(&setting)), (Kind::EphemeralSetting, (Verdict::Accept, vec![])));
}

#[test]
fn quoted_copies_are_lean() {
    let mut original = image();
    original.context_info =
        Some(Box::new(ContextInfo { is_forwarded: Some(true), ..ContextInfo::default() }));
    let original = with_image(original);
    let message = reply(text("Lovely"), &Quote { id: ID, author: PHONE, message: &original });
    let quoted = message.extended_text_message.unwrap().context_info.unwrap().quoted_message.unwrap();
    let quoted = quoted.image_message.unwrap();
    assert_eq!(
        (quoted.media_key, quoted.direct_path, quoted.url, quoted.context_info),
        (None, None, None, None)
    );
    assert_eq!(quoted.caption.as_deref(), Some("The lake"));

    // A reaction cannot quote.
    let reaction = react(MessageKey::own(PHONE, ID), "👍", 1);
    assert_eq!(reply(reaction.clone(), &Quote { id: ID, author: PHONE, message: &original }), reaction);
}

#[test]
fn v1_v2_wrappers() {
    let view_once = Message { view_once_message_v2: wrapped(text("once")), ..Message::default() };
    let both = Message { ephemeral_message: wrapped(view_once), ..Message::default() };
    let received = direct(&both);
    assert_eq!(received.wrappers(), [Wrapper::Ephemeral, Wrapper::ViewOnce]);
    assert_eq!((received.text(), received.is_view_once()), (Some("once"), true));

    // A content beside a wrapper is one too many.
    let mut beside = both;
    beside.conversation = Some("beside".to_owned());
    assert_eq!(outcome(&direct(&beside)), (Verdict::Placeholder, vec![Rule::V1]));

    // Something new inside a wrapper is no fault of the sender; nothing at all is.
    let mut bytes = Message::default().encode_to_vec();
    prost::encoding::bytes::encode(40, &[0x0a, 0x05, 0xf2, 0xf0, 0x04, 0x01, 0x3f].to_vec(), &mut bytes);
    let received = decode(&bytes, &Context::direct(INTEROP, PHONE), &Limits::default()).unwrap();
    assert_eq!((received.kind(), outcome(&received)), (Kind::Unsupported, (Verdict::Placeholder, vec![])));
    let empty = Message { ephemeral_message: wrapped(Message::default()), ..Message::default() };
    assert_eq!(outcome(&direct(&empty)), (Verdict::Placeholder, vec![Rule::V1]));

    // The outer message's context counts if the inner one has none.
    let mut outer = Message { ephemeral_message: wrapped(text("x")), ..Message::default() };
    outer.message_context_info.get_or_insert_default().message_secret = Some(vec![7; 32]);
    let secret = direct(&outer).message().message_context_info.clone().unwrap().message_secret;
    assert_eq!(secret, Some(vec![7; 32]));
}

#[test]
fn v4_lengths() {
    let long = text("ä".repeat(65_537));
    let received = direct(&long);
    assert_eq!(outcome(&received), (Verdict::Accept, vec![Rule::V4]));
    assert_eq!(received.text().unwrap().chars().count(), 65_537);
    assert_eq!(received.shown_text().unwrap().chars().count(), 65_536);
    assert_eq!(outcome(&direct(&text("ä".repeat(65_536)))), (Verdict::Accept, vec![]));

    for (chars, rules) in [(1024, vec![]), (1025, vec![Rule::V4])] {
        let captioned = ImageMessage { caption: Some("x".repeat(chars)), ..image() };
        assert_eq!(outcome(&direct(&with_image(captioned))), (Verdict::Accept, rules));
    }
    let silent = extended(ExtendedTextMessage::default());
    assert_eq!(outcome(&direct(&silent)), (Verdict::Placeholder, vec![Rule::V4]));
}

#[test]
fn v7_places() {
    let at = |path: Option<&str>, url: Option<&str>| {
        let place =
            ImageMessage { direct_path: path.map(str::to_owned), url: url.map(str::to_owned), ..image() };
        direct(&with_image(place)).verdict()
    };
    for good in ["/v/x.enc?a=b/../c", "/interop/whatsapp/download/1/ab/", "/a..b/.c/d."] {
        assert_eq!(at(Some(good), Some("http://ignored/")), Verdict::Accept, "{good}");
    }
    let long = format!("/{}", "x".repeat(2048));
    for bad in [
        "",
        "x",
        "//evil/",
        "/\\evil/",
        "/v\\..\\x",
        "/..",
        "/v/.",
        "/v/%2E%2e",
        "/v/.%2e/x",
        "/%2f/evil",
        "/v/é",
        "/v/\u{7f}",
        "/v#x",
        &long,
    ] {
        assert_eq!(at(Some(bad), Some("https://mmg.whatsapp.net/x")), Verdict::Placeholder, "{bad}");
    }
    for good in ["https://mmg.whatsapp.net/v/x", "https://MMG.whatsapp.net/v/x?y"] {
        assert_eq!(at(None, Some(good)), Verdict::Accept, "{good}");
    }
    for bad in [
        "https://mmg.whatsapp.net",
        "https://mmg.whatsapp.net:444/x",
        "https://mmg.whatsapp.net.evil/x",
        "https://mmg.whatsapp.net@evil/x",
        "https://[::1]/x",
        "HTTPS://mmg.whatsapp.net/x",
        "https://mmg.whatsapp.net?/x",
    ] {
        assert_eq!(at(None, Some(bad)), Verdict::Placeholder, "{bad}");
    }
    // An address is refused even if someone allows it.
    let mut limits = Limits::default();
    limits.media_hosts = vec!["127.0.0.1".to_owned(), "[::1]".to_owned(), "media.example:8443".to_owned()];
    for (url, verdict) in [
        ("https://127.0.0.1/x", Verdict::Placeholder),
        ("https://[::1]/x", Verdict::Placeholder),
        ("https://media.example:8443/x", Verdict::Accept),
        ("https://media.example/x", Verdict::Placeholder),
    ] {
        let place = ImageMessage { direct_path: None, url: Some(url.to_owned()), ..image() };
        let bytes = with_image(place).encode_to_vec();
        let received = decode(&bytes, &Context::direct(INTEROP, PHONE), &limits).unwrap();
        assert_eq!(received.verdict(), verdict, "{url}");
    }
}

#[test]
fn v9_names() {
    let document = Message::decode(&*vector("document")).unwrap().document_message.unwrap();
    let named = |name: &str| {
        let document = DocumentMessage { file_name: Some(name.to_owned()), ..(*document).clone() };
        let message = Message { document_message: Some(Box::new(document)), ..Message::default() };
        let received = direct(&message);
        let name = received.media().unwrap().file_name.map(str::to_owned);
        (name, received.findings().is_empty())
    };
    assert_eq!(named("Übersicht 2025.pdf"), (Some("Übersicht 2025.pdf".to_owned()), true));
    assert_eq!(named("C:\\a\\b.txt"), (Some("b.txt".to_owned()), false));
    for nothing in ["..", "a/..", "/", "\u{202e}", "\n"] {
        assert_eq!(named(nothing), (None, false), "{nothing:?}");
    }
    let (long, _) = named(&format!("{}.pdf", "ä".repeat(200)));
    let long = long.unwrap();
    assert!(long.len() <= 255 && long.len() > 250 && long.ends_with("ä.pdf"), "{long}");

    for (mimetype, clean) in [
        ("audio/ogg; codecs=opus", true),
        ("image/svg+xml", true),
        ("image", false),
        ("image/", false),
        ("a/b/c", false),
        ("image/jpeg;é", false),
        ("image /jpeg", false),
    ] {
        let message = with_image(ImageMessage { mimetype: Some(mimetype.to_owned()), ..image() });
        assert_eq!(direct(&message).findings().is_empty(), clean, "{mimetype}");
    }
}

#[test]
fn v11_v12_contacts_and_places() {
    let card = |vcard: String| ContactMessage { vcard: Some(vcard), ..ContactMessage::default() };
    let list = |contacts: Vec<ContactMessage>| {
        let list = ContactsArrayMessage { contacts, ..ContactsArrayMessage::default() };
        direct(&Message { contacts_array_message: Some(Box::new(list)), ..Message::default() }).verdict()
    };
    let good = card("begin:vcard\nEND:VCARD".to_owned());
    assert_eq!(list(vec![good.clone(); 257]), Verdict::Accept);
    assert_eq!(list(vec![good.clone(); 258]), Verdict::Placeholder);
    assert_eq!(list(vec![good.clone(), card("BEGIN".to_owned())]), Verdict::Placeholder);
    assert_eq!(list(vec![good, card(format!("BEGIN:VCARD{}", " ".repeat(65_536)))]), Verdict::Placeholder);

    for (latitude, longitude, verdict) in [
        (-90.0, 180.0, Verdict::Accept),
        (0.0, -180.1, Verdict::Placeholder),
        (0.0, f64::INFINITY, Verdict::Placeholder),
    ] {
        let place = LocationMessage {
            degrees_latitude: Some(latitude),
            degrees_longitude: Some(longitude),
            ..LocationMessage::default()
        };
        let message = Message { location_message: Some(Box::new(place)), ..Message::default() };
        assert_eq!(direct(&message).verdict(), verdict);
    }
}

#[test]
fn v13_v14_v15_control() {
    let key = || MessageKey::own(PHONE, ID);
    for (emoji, verdict) in [("👩‍👩‍👧", Verdict::Accept), ("👍👍", Verdict::Silent), ("ok", Verdict::Silent)]
    {
        assert_eq!(direct(&react(key(), emoji, 1)).verdict(), verdict, "{emoji}");
    }
    let long = react(MessageKey::own(PHONE, "x".repeat(129)), "👍", 1);
    assert_eq!(outcome(&direct(&long)), (Verdict::Silent, vec![Rule::V13]));
    // Devices are not part of a chat's name; hidden numbers cannot be compared.
    for chat in ["14155551001:3@s.whatsapp.net", "99@lid", INTEROP] {
        assert_eq!(outcome(&direct(&revoke(MessageKey::own(chat, ID)))), (Verdict::Accept, vec![]), "{chat}");
    }
    let pairwise = Encryption::Pairwise;
    let unnamed = group(&react(MessageKey::theirs(GROUP, ID), "👍", 1), pairwise);
    assert_eq!(outcome(&unnamed), (Verdict::Accept, vec![Rule::V14]));
    let elsewhere = group(&revoke(MessageKey::own("120363000000000000@g.us", ID)), pairwise);
    assert_eq!(outcome(&elsewhere), (Verdict::Accept, vec![Rule::V14]));
    let anonymous = group(&revoke(MessageKey::theirs(GROUP, ID)), pairwise);
    assert_eq!(outcome(&anonymous), (Verdict::Silent, vec![Rule::V14]));
    let of_another = content::edit(MessageKey::member(GROUP, ID, MEMBER), text("x"), 1);
    assert_eq!(outcome(&group(&of_another, pairwise)), (Verdict::Silent, vec![Rule::V14]));

    // A caption may be edited without sending the file again, also in its wrapper.
    let caption = DocumentMessage { caption: Some("new".to_owned()), ..DocumentMessage::default() };
    let caption = Message { document_message: Some(Box::new(caption)), ..Message::default() };
    let caption = Message { document_with_caption_message: wrapped(caption), ..Message::default() };
    let edited = direct(&content::edit(key(), caption, 1));
    assert_eq!((outcome(&edited), edited.text()), ((Verdict::Accept, vec![]), Some("new")));
    for nothing in [text(""), Message::default(), react(key(), "👍", 1)] {
        let edited = direct(&content::edit(key(), nothing, 1));
        assert_eq!((outcome(&edited), edited.text()), ((Verdict::Silent, vec![Rule::V15]), None));
    }

    // Without a type nothing is deleted.
    let untyped = ProtocolMessage { key: Some(key()), ..ProtocolMessage::default() };
    let untyped = Message { protocol_message: Some(Box::new(untyped)), ..Message::default() };
    assert_eq!(direct(&untyped).kind(), Kind::UnknownProtocol);
}

#[test]
fn v16_v17_v20_context() {
    let around = |context: ContextInfo| {
        let text = Some("x".to_owned());
        direct(&extended(ExtendedTextMessage {
            text,
            context_info: Some(Box::new(context)),
            ..Default::default()
        }))
    };
    let mentioned_jid: Vec<String> = (0..258).map(|number| format!("{number}@s.whatsapp.net")).collect();
    let many = around(ContextInfo { mentioned_jid: mentioned_jid.clone(), ..ContextInfo::default() });
    assert_eq!(many.context_info().unwrap().mentioned_jid, mentioned_jid[..257]);
    let twice = around(ContextInfo { mentioned_jid: vec![PHONE.to_owned(); 2], ..ContextInfo::default() });
    assert_eq!(outcome(&twice), (Verdict::Accept, vec![Rule::V17]));
    assert_eq!(twice.context_info().unwrap().mentioned_jid, [PHONE]);
    let late = around(ContextInfo { expiration: Some(7_776_001), ..ContextInfo::default() });
    assert_eq!(outcome(&late), (Verdict::Accept, vec![Rule::V20]));
    assert_eq!(late.context_info().unwrap().expiration, Some(7_776_000));
    let setting = group(&ephemeral_setting(86_400, 1), Encryption::Pairwise);
    assert_eq!(outcome(&setting), (Verdict::Silent, vec![Rule::V20]));
}

#[test]
fn v18_sender_keys() {
    let alone = sender_key(GROUP, vec![1; 1024]);
    assert!(group(&alone, Encryption::Pairwise).sender_key().is_some());
    let received = group(&alone, Encryption::SenderKey);
    assert_eq!((outcome(&received), received.sender_key()), ((Verdict::Silent, vec![Rule::V18]), None));
    let long = group(&sender_key(GROUP, vec![1; 1025]), Encryption::Pairwise);
    assert_eq!(outcome(&long), (Verdict::Silent, vec![Rule::V18]));
    // A content beside a key that is refused stands.
    let beside = Message { conversation: Some("Hello".to_owned()), ..sender_key("other@g.us", vec![1]) };
    let received = group(&beside, Encryption::Pairwise);
    assert_eq!((outcome(&received), received.text()), ((Verdict::Accept, vec![Rule::V18]), Some("Hello")));
    assert_eq!(received.sender_key(), None);
}
