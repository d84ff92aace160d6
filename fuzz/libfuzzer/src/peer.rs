//! Beside the codec of another project, wacore-binary.

use landbridge_wire::{ContentRef, Jid, Limits, NodeRef, ValueRef, decode_ref};
use wacore_binary::{NodeContentRef, marshal::unmarshal_ref, node::ValueRef as TheirValue};

/// A stanza that both readers accept means the same to both. Each refuses things that the other takes.
pub fn wire(bytes: &[u8]) {
    let Ok(frame) = decode_ref(bytes, &Limits::default()) else { return };
    let Ok(theirs) = unmarshal_ref(bytes) else { return };
    same(frame.view(), &theirs);
}

fn same(ours: NodeRef<'_>, theirs: &wacore_binary::NodeRef<'_>) {
    assert_eq!(ours.tag(), &*theirs.tag);
    let our_attrs: Vec<_> = ours.attrs().collect();
    let their_attrs: Vec<_> = theirs.attrs_iter().collect();
    assert_eq!(our_attrs.len(), their_attrs.len());
    for ((our_key, our_value), (their_key, their_value)) in our_attrs.iter().zip(their_attrs) {
        assert_eq!(our_key, &**their_key);
        match (our_value, their_value) {
            (ValueRef::Text(ours), TheirValue::String(theirs)) => assert_eq!(*ours, &**theirs),
            (ValueRef::Jid(ours), TheirValue::Jid(theirs)) => {
                let user = &*theirs.user;
                assert_eq!(ours.device(), theirs.device, "{ours}");
                assert_eq!(ours.server_part(), theirs.server.as_str(), "{ours}");
                assert!(ours.user_part() == user || user == with_integrator(ours), "{ours} is {user}");
            }
            // A JID whose server the peer does not know by name is a string to it.
            (ValueRef::Jid(ours), TheirValue::String(theirs)) => assert_eq!(ours.to_string(), &**theirs),
            (ours, _) => panic!("{ours:?} is a JID to the peer"),
        }
    }
    match (ours.content(), theirs.content.as_ref()) {
        (ContentRef::None, None) => {}
        // The peer's text of a JID leaves out the integrator, and the @ before a bare server.
        (ContentRef::Jid(ours), Some(NodeContentRef::String(theirs))) => {
            let whole = ours.to_string();
            let integrator = format!("{}-", ours.integrator());
            let texts = [Some(whole.as_str()), whole.strip_prefix(&integrator), whole.strip_prefix('@')];
            assert!(texts.contains(&Some(&**theirs)), "{ours} is {}", &**theirs);
        }
        // The peer keeps an empty list apart from nothing.
        (ContentRef::None, Some(NodeContentRef::Nodes(children))) => assert!(children.is_empty()),
        (ContentRef::Children(children), Some(NodeContentRef::Nodes(theirs))) => {
            assert_eq!(children.clone().count(), theirs.len());
            children.zip(theirs.iter()).for_each(|(ours, theirs)| same(ours, theirs));
        }
        (_, Some(NodeContentRef::Bytes(theirs))) => {
            assert_eq!(ours.content_bytes().as_deref(), Some(&**theirs))
        }
        (_, Some(NodeContentRef::String(theirs))) => {
            assert_eq!(ours.content_text().as_deref(), Some(&**theirs))
        }
        (ours, theirs) => panic!("{ours:?} but {theirs:?}"),
    }
}

fn with_integrator(jid: &Jid) -> String {
    format!("{}-{}", jid.integrator(), jid.user_part())
}
