//! Building, reading and refusing nodes through the public interface.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use landbridge_wire::{
    ContentRef, DecodeErrorKind, EncodeError, EncodeOptions, Frame, InteropJid, Jid, JidError, Limits,
    MAX_STANZA, Node, Pack, ValueRef, decode, decode_payload, decode_ref, encode, encode_payload, json, xml,
};

fn stanza(node: &Node) -> String {
    hex::encode(encode(node, &EncodeOptions::default()).unwrap())
}

#[test]
fn parts_can_be_set_in_any_order() {
    let in_order = Node::new("iq").attr("id", "a").attr("type", "get").child(Node::new("ping"));
    let late = Node::new("iq").child(Node::new("ping")).attr("id", "a").attr("type", "get");
    assert_eq!(stanza(&in_order), stanza(&late));
    let big = Node::new("iq").bytes(vec![1; 5000]).attr("id", "a");
    assert_eq!(stanza(&big), stanza(&Node::new("iq").attr("id", "a").bytes(vec![1; 5000])));
    let nested =
        Node::new("x").child(Node::new("y").bytes(vec![2; 2000])).child(Node::new("z").bytes(vec![3; 3000]));
    let nested = nested.attr("late", 1u8);
    assert_eq!(decode(&hex::decode(stanza(&nested)).unwrap(), &Limits::default()).unwrap(), nested);
}

#[test]
fn a_repeated_key_keeps_its_place_and_gets_the_new_value() {
    let node =
        Node::new("iq").attr("id", "old").attr("type", "get").attr("own key", 1u8).child(Node::new("ping"));
    let node = node.attr("id", "a longer value").attr("own key", Jid::user("1"));
    assert_eq!(
        node.to_string(),
        r#"<iq id="a longer value" type="get" own_x20_key="1@s.whatsapp.net"><ping/></iq>"#
    );
    assert_eq!(decode(&hex::decode(stanza(&node)).unwrap(), &Limits::default()).unwrap(), node);
}

#[test]
fn the_last_content_counts() {
    let node =
        Node::new("a").child(Node::new("b")).bytes(vec![1u8, 2]).text("get").jid_content(Jid::lid("5"));
    assert_eq!(node.to_string(), "<a><?jid 5@lid?></a>");
    assert_eq!(node.clone().child(Node::new("c")).to_string(), "<a><c/></a>");
    assert_eq!(node.children([]).to_string(), "<a><?jid 5@lid?></a>");
    assert_eq!(Node::new("a").children([]), Node::new("a"));
}

#[test]
fn views_read_every_part() {
    let node = Node::new("message")
        .attr("from", Jid::user("31612345678"))
        .attr("to", "s.whatsapp.net")
        .attr("t", 1_763_870_400u64)
        .attr_opt("no", None::<&str>)
        .attr_opt("yes", Some("joe"))
        .child(Node::new("enc").bytes(&[1, 2, 3][..]))
        .child_opt(None)
        .child_opt(Some(Node::new("enc").text("C0FFEE")))
        .child(Node::new("jid").jid_content(Jid::group("1-2")));
    let stanza = encode(&node, &EncodeOptions::default()).unwrap();
    let frame = decode_ref(&stanza, &Limits::default()).unwrap();
    for view in [node.view(), frame.view()] {
        assert_eq!(view.tag(), "message");
        assert!(view.is("message") && !view.is("receipt"));
        assert_eq!(view.attr_jid("from"), Some(Jid::user("31612345678")));
        assert_eq!(view.attr_jid("to"), Some(Jid::server("s.whatsapp.net")));
        assert_eq!(view.attr_jid("yes"), None);
        assert_eq!(view.attr_str("from").as_deref(), Some("31612345678@s.whatsapp.net"));
        assert_eq!(view.attr("t").unwrap().text(), "1763870400");
        assert_eq!(view.attr("from"), Some(ValueRef::Jid(Jid::user("31612345678"))));
        assert!(view.has_attr("yes") && !view.has_attr("no"));
        assert_eq!(view.attrs().count(), 4);
        assert_eq!(view.children().count(), 3);
        assert_eq!(view.children_named("enc").count(), 2);
        assert_eq!(view.child("enc").unwrap().content_bytes().as_deref(), Some(&[1, 2, 3][..]));
        let code = view.children_named("enc").nth(1).unwrap();
        assert_eq!(code.content_bytes().as_deref(), Some(&b"C0FFEE"[..]));
        assert_eq!(code.content_text().as_deref(), Some("C0FFEE"));
        let group = view.child("jid").unwrap();
        assert_eq!(group.content_jid(), Some(Jid::group("1-2")));
        assert_eq!(group.content_text().as_deref(), Some("1-2@g.us"));
        assert!(matches!(view.content(), ContentRef::Children(_)));
        assert!(view.content_bytes().is_none() && view.content_text().is_none());
        assert!(view.child("none").is_none());
        assert_eq!(view.to_node(), node);
        assert_eq!(view.child("jid").unwrap().to_node().to_string(), "<jid><?jid 1-2@g.us?></jid>");
    }
    let kept: Frame<'static> = frame.into_owned();
    assert_eq!(kept.as_bytes(), stanza);
    assert_eq!(format!("{kept:?}"), format!("{node:?}"));
}

#[test]
fn equality_ignores_order_and_the_kind_of_text() {
    let one = Node::new("a").attr("x", "1").attr("y", "2").text("401");
    let other = Node::new("a").attr("y", "2").attr("x", "1").bytes(&b"401"[..]);
    assert_eq!(one, other);
    assert_ne!(one, Node::new("a").attr("x", "1").attr("y", "3").text("401"));
    assert_ne!(one, Node::new("a").attr("x", "1").attr("y", "2"));
    assert_ne!(Node::new("a").bytes(vec![]), Node::new("a"));
    assert_ne!(Node::new("a").attr("x", "1@lid"), Node::new("a").attr("x", Jid::lid("1")));
    let wide = Node::new("a").child(Node::new("b")).child(Node::new("c"));
    assert_ne!(wide, Node::new("a").child(Node::new("b").child(Node::new("c"))));
}

fn refusal(node: &Node) -> EncodeError {
    let error = encode(node, &EncodeOptions::default()).unwrap_err();
    assert_eq!(encode_payload(node, &EncodeOptions::default()).unwrap_err(), error);
    let parent = Node::new("parent").child(node.clone());
    assert_eq!(encode(&parent, &EncodeOptions::default()).unwrap_err(), error);
    assert_eq!(landbridge_wire::encode_ref(parent.view(), &EncodeOptions::default()).unwrap_err(), error);
    error
}

#[test]
fn what_has_no_encoding_is_refused() {
    assert_eq!(refusal(&Node::new("")), EncodeError::EmptyTag);
    assert_eq!(refusal(&Node::new("a").attr("", "x")), EncodeError::EmptyKey { tag: "a".into() });
    for jid in [
        Jid::user("1").with_device(256),
        Jid::lid("1").with_device(300),
        Jid::group("1").with_device(1),
        Jid::server("s.whatsapp.net").with_device(1),
        Jid::interop(7, ""),
        Jid::new("1", ""),
    ] {
        assert_eq!(refusal(&Node::new("a").attr("to", &jid)), EncodeError::Jid { jid: jid.to_string() });
        assert_eq!(refusal(&Node::new("a").jid_content(&jid)), EncodeError::Jid { jid: jid.to_string() });
    }
    let pair = EncodeOptions { interop_jid: InteropJid::Pair, ..EncodeOptions::default() };
    let jid = Jid::interop(1, "5").with_device(2);
    assert!(matches!(encode(&Node::new("a").attr("to", &jid), &pair), Err(EncodeError::Jid { .. })));
}

#[test]
fn lists_and_lengths_have_their_limits() {
    let children = |count: usize| Node::new("list").children((0..count).map(|_| Node::new("user")));
    assert!(encode(&children(65_535), &EncodeOptions::default()).is_ok());
    assert_eq!(
        refusal(&children(65_536)),
        EncodeError::TooManyChildren { tag: "list".into(), count: 65_536 }
    );
    let fits = Node::new("message").bytes(vec![0; MAX_STANZA - 8]);
    assert_eq!(encode(&fits, &EncodeOptions::default()).unwrap().len(), MAX_STANZA);
    assert_eq!(
        refusal(&Node::new("message").bytes(vec![0; MAX_STANZA])),
        EncodeError::TooLong { limit: MAX_STANZA }
    );
    let too_long = Node::new("message").bytes(vec![0; MAX_STANZA - 7]);
    assert_eq!(encode(&too_long, &EncodeOptions::default()), Err(EncodeError::TooLong { limit: MAX_STANZA }));
    let text = "x".repeat(MAX_STANZA);
    assert!(matches!(refusal(&Node::new("message").attr("id", &text)), EncodeError::TooLong { .. }));
}

#[test]
fn attributes_have_their_limit() {
    let text: String = (0..32_768).map(|index| format!(" k{index}='v'")).collect();
    let node = xml::parse(&format!("<a{text}/>")).unwrap();
    assert_eq!(refusal(&node), EncodeError::TooManyAttributes { tag: "a".into(), count: 32_768 });
    let fewer = xml::parse(&format!("<a{}/>", text.replace(" k32767='v'", ""))).unwrap();
    let stanza = encode(&fewer, &EncodeOptions::default()).unwrap();
    assert_eq!(decode(&stanza, &Limits::default()).unwrap(), fewer);
    let mut repeated = stanza;
    // The last key becomes the one before it.
    let last = repeated.windows(6).rposition(|window| window == b"k32766").unwrap();
    repeated[last + 5] = b'5';
    assert_eq!(decode(&repeated, &Limits::default()).unwrap_err().kind, DecodeErrorKind::DuplicateKey);
}

#[test]
fn any_depth_can_be_built_and_printed_but_not_read() {
    let mut node = Node::new("a");
    for _ in 0..3000 {
        node = Node::new("a").child(node);
    }
    assert_eq!(node, node.clone());
    assert!(node.to_string().len() > 3000);
    let stanza = encode(&node, &EncodeOptions::default()).unwrap();
    assert_eq!(decode(&stanza, &Limits::default()).unwrap_err().kind, DecodeErrorKind::TooDeep);
    let deep = Limits::default().with_max_depth(3001);
    assert_eq!(decode(&stanza, &deep).unwrap(), node);
    assert!(decode(&stanza, &deep.with_max_depth(3000)).is_err());
    assert!(xml::parse(&node.to_string()).is_err());
}

#[test]
fn errors_say_where() {
    let at = |payload: &str| decode_payload(&hex::decode(payload).unwrap(), &Limits::default()).unwrap_err();
    assert_eq!(at("00f8031308f0").offset, 5);
    assert_eq!(at("00f8051308040806").offset, 6);
    assert_eq!(at("00f8011300").offset, 4);
    assert_eq!(at("00f8051308040806").to_string(), "an attribute key is repeated at byte 6");
    assert_eq!(at("02789cfbc1280c00030001").kind.name(), "bad_zlib");
    let small = Limits::default().with_max_inflated(10);
    let long = encode_payload(
        &Node::new("a").bytes(vec![0; 100]),
        &EncodeOptions { compress_above: Some(1), ..EncodeOptions::default() },
    );
    assert_eq!(decode_payload(&long.unwrap(), &small).unwrap_err().kind, DecodeErrorKind::InflatedTooFar);
}

#[test]
fn jids_read_their_own_text() {
    for text in
        ["31612345678@s.whatsapp.net", "1-108:2@interop", "@g.us", "a.b:255@lid", "1-2@g.us", "01-5@interop"]
    {
        assert_eq!(text.parse::<Jid>().unwrap().to_string(), text);
    }
    assert_eq!("g.us".parse(), Ok(Jid::server("g.us")));
    let interop: Jid = "1-108:2@interop".parse().unwrap();
    assert_eq!((interop.integrator(), interop.user_part(), interop.device()), (1, "108", 2));
    assert_eq!(interop, Jid::new("1-108", "interop").with_device(2));
    assert!(interop.is_interop() && interop.same_user(&Jid::interop(1, 108)));
    for (text, error) in [
        ("joe", JidError::At),
        ("a@b@c", JidError::At),
        ("a@", JidError::Server),
        ("a:0@lid", JidError::Device),
        ("a:01@lid", JidError::Device),
        ("a:65536@lid", JidError::Device),
        ("a:b@lid", JidError::Device),
        ("a:+1@lid", JidError::Device),
    ] {
        assert_eq!(text.parse::<Jid>(), Err(error));
    }
}

#[test]
fn policies_differ_outside_of_jids_only() {
    let node = Node::new("a").attr("id", "123456").attr("to", Jid::user("123456")).text("99");
    let jid = EncodeOptions { pack: Pack::Jid, ..EncodeOptions::default() };
    let (all, few) = (encode(&node, &EncodeOptions::default()).unwrap(), encode(&node, &jid).unwrap());
    assert!(all.len() < few.len());
    assert_eq!(decode(&all, &Limits::default()), decode(&few, &Limits::default()));
}

#[test]
fn json_is_strict_and_bounded() {
    let deep = |depth: usize| {
        format!(
            "{}{{\"tag\":\"a\"}}{}",
            "{\"tag\":\"a\",\"content\":{\"nodes\":[".repeat(depth - 1),
            "]}}".repeat(depth - 1)
        )
    };
    assert!(json::parse(&deep(200)).is_ok());
    for text in [
        deep(201).as_str(),
        &deep(100_000),
        &format!(r#"{{"tag":"a","attrs":[["k",{}"#, "[".repeat(1_000_000)),
        &"[".repeat(1_000_000),
        "",
        "{}",
        r#"{"tag":1}"#,
        r#"{"tag":"a"} x"#,
        r#"{"tag":"a","tag":"b"}"#,
        r#"{"tag":"a","more":1}"#,
        r#"{"tag":"a","attrs":[["k"]]}"#,
        r#"{"tag":"a","attrs":[["k","v","w"]]}"#,
        r#"{"tag":"a","attrs":[["k","v"],["k","w"]]}"#,
        r#"{"tag":"a","attrs":[["k",{"jid":{"user":""}}]]}"#,
        r#"{"tag":"a","attrs":[["k",{"jid":{"user":"","server":"lid","integrator":1}}]]}"#,
        r#"{"tag":"a","attrs":[["k",{"jid":{"user":"","server":"lid","device":65536}}]]}"#,
        r#"{"tag":"a","attrs":[["k",{}]]}"#,
        r#"{"tag":"a","content":{}}"#,
        r#"{"tag":"a","content":{"bytes":"0"}}"#,
        r#"{"tag":"a","content":{"bytes":"0g"}}"#,
        r#"{"tag":"a","content":{"bytes":"","text":""}}"#,
        r#"{"tag":"a","content":{"fill":{"len":1,"mod":0}}}"#,
        r#"{"tag":"a","content":{"fill":{"len":99999999999,"mod":1}}}"#,
        r#"{"tag":"a","content":{"repeat":{"count":99999999999,"node":{"tag":"a"}}}}"#,
    ] {
        let error = json::parse(text).unwrap_err();
        assert!(error.line > 0, "{error}");
    }
    let made = r#"{"content":{"repeat":{"count":2,"node":{"tag":"b","content":{"fill":{"len":5,"mod":3}}}}},"tag":"a"}"#;
    let child = Node::new("b").bytes(vec![0, 1, 2, 0, 1]);
    assert_eq!(json::parse(made).unwrap(), Node::new("a").children([child.clone(), child]));
}

#[test]
fn xml_errors_say_where() {
    for (text, offset) in [
        ("", 0),
        ("x", 0),
        ("<a", 2),
        ("<a>", 3),
        ("<a></b>", 5),
        ("<a/><b/>", 4),
        ("<a x=1/>", 5),
        ("<a x='1'y='2'/>", 8),
        ("<a x='<'/>", 6),
        ("<a x='\\q'/>", 6),
        ("<a x='1' x='2'/>", 9),
        ("<a>&x;</a>", 3),
        ("<a>]]></a>", 3),
        ("<a><!-- -- --></a>", 10),
        ("<a><?hex 0?></a>", 3),
        ("<1/>", 1),
        ("<_xZZ_/>", 1),
        ("<a>\u{1}</a>", 3),
    ] {
        let error = xml::parse(text).unwrap_err();
        assert_eq!(error.offset, offset, "{text}: {error}");
    }
    assert_eq!(xml::parse("<a x='1' x='2'/>").unwrap_err().to_string(), "an attribute is repeated at byte 9");
    let declared = xml::parse("\u{FEFF}<?xml version='1.0'?><!-- x -->\r\n<a b='x\r\ny'>a\r\nb</a>").unwrap();
    assert_eq!(declared.to_string(), "<a b=\"x y\">a\nb</a>");
}
