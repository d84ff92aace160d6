//! Properties of the codec for arbitrary nodes and arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use landbridge_wire::{
    ContentRef, EncodeOptions, InteropJid, Jid, Limits, Node, NodeMut, NodeRef, Pack, Value, ValueRef,
    decode, decode_payload, decode_payload_ref, decode_ref, encode, encode_payload, encode_ref, json, xml,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn text() -> BoxedStrategy<String> {
    prop_oneof![
        Just("receipt".to_owned()),
        Just("read-self".to_owned()),
        "[0-9.-]{1,9}",
        "[0-9A-F]{1,9}",
        "[0-9]{126,129}",
        "[a-zA-Z_x:@.\\\\ -]{0,12}",
        "\\PC{0,8}",
        any::<String>(),
        "[a-z0-9:-]{1,6}@(lid|g\\.us|interop|example)",
    ]
    .boxed()
}

fn name() -> BoxedStrategy<String> {
    text().prop_filter("names are not empty", |name| !name.is_empty()).boxed()
}

fn jid() -> BoxedStrategy<Jid> {
    let server = prop_oneof![
        Just("s.whatsapp.net"),
        Just("lid"),
        Just("hosted"),
        Just("hosted.lid"),
        Just("g.us"),
        Just("msgr"),
        Just("interop"),
        Just("example"),
        Just("a-b @:c"),
    ];
    prop_oneof![
        (text(), server.clone()).prop_map(|(user, server)| Jid::new(user, server)),
        (name(), 1..256u16).prop_map(|(user, device)| Jid::user(user).with_device(device)),
        (name(), 1..256u16).prop_map(|(user, device)| Jid::lid(user).with_device(device)),
        (name(), any::<u16>()).prop_map(|(user, device)| Jid::new(user, "msgr").with_device(device)),
        (name(), any::<u16>()).prop_map(|(user, integrator)| Jid::interop(integrator, user)),
        (name(), any::<u16>(), any::<u16>())
            .prop_map(|(user, integrator, device)| Jid::interop(integrator, user).with_device(device)),
    ]
    .boxed()
}

fn value() -> BoxedStrategy<Value<'static>> {
    prop_oneof![text().prop_map(Value::from), jid().prop_map(Value::from), any::<u64>().prop_map(Value::from)]
        .boxed()
}

fn head() -> BoxedStrategy<Node> {
    (name(), btree_map(name(), value(), 0..4))
        .prop_map(|(tag, attrs)| {
            attrs.into_iter().fold(Node::new(&tag), |node, (key, value)| node.attr(&key, value))
        })
        .boxed()
}

fn node() -> BoxedStrategy<Node> {
    let leaf = prop_oneof![
        head(),
        (head(), vec(any::<u8>(), 0..40)).prop_map(|(node, bytes)| node.bytes(bytes)),
        (head(), 1000..1100usize).prop_map(|(node, length)| node.bytes(vec![9; length])),
        (head(), text()).prop_map(|(node, text)| node.text(&text)),
        (head(), jid()).prop_map(|(node, jid)| node.jid_content(jid)),
        (head(), "\\s{0,2}[a-z<>&\\r\\n\\t\\]]{0,8}\\s{0,2}")
            .prop_map(|(node, text)| node.bytes(text.into_bytes())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        (head(), vec(inner, 0..4)).prop_map(|(node, children)| node.children(children))
    })
    .boxed()
}

fn options() -> BoxedStrategy<EncodeOptions> {
    (
        prop_oneof![Just(Pack::All), Just(Pack::Jid)],
        prop_oneof![Just(InteropJid::Append), Just(InteropJid::Omit)],
        prop_oneof![Just(None), Just(Some(0))],
    )
        .prop_map(|(pack, interop_jid, compress_above)| EncodeOptions { pack, interop_jid, compress_above })
        .boxed()
}

proptest! {
    #[test]
    fn what_is_written_is_read(node in node(), options in options()) {
        let stanza = encode(&node, &options).unwrap();
        prop_assert_eq!(&encode_ref(node.view(), &options).unwrap(), &stanza);
        let frame = decode_ref(&stanza, &Limits::default()).unwrap();
        prop_assert_eq!(&node, &frame.view());
        let owned = decode(&stanza, &Limits::default()).unwrap();
        prop_assert_eq!(&owned, &node);
        prop_assert_eq!(encode(&owned, &options).unwrap(), stanza);
        let payload = encode_payload(&node, &options).unwrap();
        prop_assert_eq!(decode_payload(&payload, &Limits::default()).unwrap(), owned);
    }

    #[test]
    fn texts_give_every_node_back(node in node()) {
        let marked = json::to_string(node.view());
        let from_xml = xml::parse(&xml::to_string(node.view())).unwrap();
        prop_assert_eq!(json::to_string(from_xml.view()), &*marked);
        let from_json = json::parse(&marked).unwrap();
        prop_assert_eq!(json::to_string(from_json.view()), marked);
        let options = EncodeOptions::default();
        prop_assert_eq!(encode(&from_xml, &options).unwrap(), encode(&node, &options).unwrap());
        prop_assert_eq!(encode(&from_json, &options).unwrap(), encode(&node, &options).unwrap());
    }

    #[test]
    fn copies_are_the_same(node in node()) {
        let copy = node.view().to_node();
        prop_assert_eq!(json::to_string(copy.view()), json::to_string(node.view()));
        prop_assert_eq!(&copy, &node);
        // What is set on a copy ends where it would on the node itself.
        let (copy, node) = (copy.attr("late", "x"), node.attr("late", "x"));
        prop_assert_eq!(encode(&copy, &EncodeOptions::default()), encode(&node, &EncodeOptions::default()));
    }

    #[test]
    fn the_order_of_building_leaves_no_trace(steps in steps()) {
        let mut node = Node::new("message");
        for step in steps.clone() {
            take(&mut node, step);
        }
        let parent = Node::new("parent").child(node.clone()).child(node);
        let in_place = [(); 2].iter().fold(Node::new("parent"), |parent, ()| {
            parent.child_with("message", |message| steps.iter().cloned().fold(message, take_in_place))
        });
        prop_assert_eq!(json::to_string(in_place.view()), json::to_string(parent.view()));
        let node = parent;
        let stanza = encode(&node, &EncodeOptions::default()).unwrap();
        prop_assert_eq!(&encode(&in_place, &EncodeOptions::default()).unwrap(), &stanza);
        prop_assert_eq!(&in_place.into_payload(&EncodeOptions::default()).unwrap()[1..], &stanza);
        prop_assert_eq!(&encode_ref(node.view(), &EncodeOptions::default()).unwrap(), &stanza);
        let read = decode(&stanza, &Limits::default()).unwrap();
        prop_assert_eq!(read, node);
    }

    #[test]
    fn what_is_built_in_place_is_the_same(node in node(), options in options()) {
        let root = node.view();
        let in_place = Node::with(&root.tag(), |copy| rebuild(copy, root));
        prop_assert_eq!(json::to_string(in_place.view()), json::to_string(root));
        let payload = encode_payload(&node, &options).unwrap();
        prop_assert_eq!(&encode_payload(&in_place, &options).unwrap(), &payload);
        prop_assert_eq!(&in_place.into_payload(&options).unwrap(), &payload);
        prop_assert_eq!(node.into_payload(&options).unwrap(), payload);
    }

    #[test]
    fn prefixes_are_refused_and_flips_do_not_confuse(node in node(), cut: prop::sample::Index, bit: prop::sample::Index) {
        let payload = encode_payload(&node, &EncodeOptions::default()).unwrap();
        // The name behind an interoperability JID may be missing: a prefix that lacks it alone is the same node.
        if let Ok(read) = decode_payload(&payload[..cut.index(payload.len())], &Limits::default()) {
            prop_assert_eq!(&read, &node);
            prop_assert!(payload.ends_with(b"interop"));
        }
        let mut flipped = payload;
        let bit = bit.index(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        check_any_payload(&flipped)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        check_any_payload(&bytes)?;
    }

    #[test]
    fn likely_bytes_are_read_or_refused(bytes in vec(prop_oneof![
        Just(0xf8u8), Just(0xf9), Just(0xfa), Just(0xf5), Just(0xf7), Just(0xfc), Just(0xff), Just(0xfb), Just(0xec),
        0..8u8, any::<u8>(),
    ], 0..60)) {
        let mut payload = vec![0, 0xf8];
        payload.extend(bytes);
        check_any_payload(&payload)?;
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(<[a-z?!/ =\"'&;:_xu{}0-9\\\\>-]{0,20}>?){0,6}") {
        if let Ok(node) = xml::parse(&text) {
            prop_assert_eq!(xml::parse(&xml::to_string(node.view())).unwrap(), node);
        }
        let _ = json::parse(&text);
    }

    #[test]
    fn a_jid_that_is_read_prints_back_the_same(text in "[0-9a-z:-]{0,8}@(lid|interop|x)") {
        if let Ok(jid) = text.parse::<Jid>() {
            prop_assert_eq!(jid.to_string(), text);
        }
    }
}

/// A step of building a node.
#[derive(Debug, Clone)]
enum Step {
    Attr(String, Value<'static>),
    Attrs(u16),
    Child(Node),
    Children(usize),
    Bytes(usize),
    Read,
}

fn steps() -> BoxedStrategy<Vec<Step>> {
    let step = prop_oneof![
        (name(), value()).prop_map(|(key, value)| Step::Attr(key, value)),
        (0..140u16).prop_map(Step::Attrs),
        node().prop_map(Step::Child),
        (0..300usize).prop_map(Step::Children),
        (0..2000usize).prop_map(Step::Bytes),
        Just(Step::Read),
    ];
    vec(step, 0..8).boxed()
}

fn take(node: &mut Node, step: Step) {
    match step {
        Step::Attr(key, value) => node.set_attr(&key, value),
        Step::Attrs(count) => (0..count).for_each(|index| node.set_attr(&format!("k{index}"), index)),
        Step::Child(child) => node.push_child(child),
        Step::Children(count) => {
            (0..count).for_each(|_| node.push_child(Node::new("x").bytes(vec![1; 1500])))
        }
        Step::Bytes(length) => node.set_bytes(vec![b'x'; length]),
        Step::Read => drop(node.to_string()),
    }
}

fn take_in_place(node: NodeMut<'_>, step: Step) -> NodeMut<'_> {
    match step {
        Step::Attr(key, value) => node.attr(&key, value),
        Step::Attrs(count) => (0..count).fold(node, |node, index| node.attr(&format!("k{index}"), index)),
        Step::Child(child) => node.child(child),
        Step::Children(count) => node.children_with("x", 0..count, |x, _| x.bytes(vec![1; 1500])),
        Step::Bytes(length) => node.bytes(vec![b'x'; length]),
        Step::Read => node,
    }
}

/// Writes the parts of `node` to `copy`, which has its tag.
fn rebuild<'n>(copy: NodeMut<'n>, node: NodeRef<'_>) -> NodeMut<'n> {
    let copy = node.attrs().fold(copy, |copy, (key, value)| match value {
        ValueRef::Text(text) => copy.attr(&key, text),
        ValueRef::Jid(jid) => copy.attr(&key, jid),
    });
    match node.content() {
        ContentRef::None => copy,
        ContentRef::Children(children) => {
            children.fold(copy, |copy, child| copy.child_with(&child.tag(), |copy| rebuild(copy, child)))
        }
        ContentRef::Bytes(bytes) => copy.bytes(bytes),
        ContentRef::Text(text) => copy.text(&text),
        ContentRef::Jid(jid) => copy.jid_content(jid),
    }
}

/// Borrowed and owned reading agree, and what has been read survives being written and read again.
fn check_any_payload(payload: &[u8]) -> Result<(), TestCaseError> {
    let limits = Limits::default();
    match (decode_payload_ref(payload, &limits), decode_payload(payload, &limits)) {
        (Err(one), Err(other)) => {
            prop_assert_eq!(one, other);
            prop_assert!(one.offset <= payload.len());
        }
        (Ok(frame), Ok(node)) => {
            prop_assert_eq!(&node, &frame.view());
            let stanza = encode(&node, &EncodeOptions::default()).unwrap();
            prop_assert_eq!(&encode_ref(frame.view(), &EncodeOptions::default()).unwrap(), &stanza);
            prop_assert_eq!(&decode(&stanza, &limits).unwrap(), &node);
            prop_assert_eq!(&xml::parse(&xml::to_string(frame.view())).unwrap(), &node);
            prop_assert_eq!(&json::parse(&json::to_string(frame.view())).unwrap(), &node);
        }
        (one, other) => prop_assert!(false, "{:?} but {:?}", one, other),
    }
    Ok(())
}
