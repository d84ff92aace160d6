//! What a receiver makes of the content vectors, good and malformed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{bytes, content, malformed, name, of, text};
use landbridge_proto::content::{Content, Context, Encryption, Kind, Limits, Verdict, decode, outer};
use serde_json::Value;

const INTEROP: &str = "1-10853634039893@interop";
const PHONE: &str = "14155551001@s.whatsapp.net";
const GROUP: &str = "120363025246125888@g.us";

/// The surroundings that an entry asks for. The good ones are written by the interop user.
fn context(entry: &Value) -> Context<'_> {
    let sender = text(entry, "sender").unwrap_or(INTEROP);
    match text(entry, "chat") {
        Some("group") => Context::group(GROUP, sender, Encryption::Pairwise),
        _ => Context::direct(sender, if sender == INTEROP { PHONE } else { INTEROP }),
    }
}

fn check(entry: &Value, content: &Content) {
    let name = name(entry);
    if let Some(kind) = text(entry, "kind") {
        assert_eq!(content.kind().as_str(), kind, "{name}");
    }
    let strict = if content.findings().is_empty() { "ok" } else { "fault" };
    assert_eq!(strict, text(entry, "strict").unwrap(), "{name}: {:?}", content.findings());
    assert_eq!(content.raw(), bytes(entry), "{name}");
}

#[test]
fn good_contents() {
    for entry in of(&content(), "Message") {
        let received = decode(&bytes(entry), &context(entry), &Limits::default()).unwrap();
        assert_eq!(Some(received.verdict().as_str()), text(entry, "verdict"), "{}", name(entry));
        assert_eq!(received.rule(), None, "{}", name(entry));
        check(entry, &received);
    }
}

#[test]
fn malformed_contents() {
    let entries = malformed();
    let (mut refused, mut judged) = (0, 0);
    for entry in of(&entries, "Message") {
        let (name, rule) = (name(entry), text(entry, "rule").unwrap());
        match decode(&bytes(entry), &context(entry), &Limits::default()) {
            Err(error) => {
                refused += 1;
                assert_eq!(text(entry, "verdict"), Some("reject"), "{name}: {error}");
                assert_eq!(text(entry, "stage"), Some("parse"), "{name}: {error}");
                assert_eq!(error.rule().as_str(), rule, "{name}: {error}");
                assert!(error.offset <= bytes(entry).len(), "{name}: {error}");
            }
            Ok(received) => {
                judged += 1;
                assert_eq!(text(entry, "verdict"), Some(received.verdict().as_str()), "{name}");
                check(entry, &received);
                let found = received.findings().iter().any(|found| found.rule.as_str() == rule);
                assert!(found || rule == "P8", "{name}: {:?}", received.findings());
                if received.verdict() != Verdict::Accept {
                    assert_eq!(received.rule().map(|rule| rule.as_str()), Some(rule), "{name}");
                }
            }
        }
    }
    assert_eq!(refused + judged, entries.len());
}

#[test]
fn stanza_attributes() {
    for entry in of(&content(), "Message") {
        let Some(stanza) = entry.get("stanza") else { continue };
        let received =
            landbridge_proto::parse(&bytes(entry), &landbridge_proto::ParseLimits::default()).unwrap();
        let outer = outer(&received);
        assert_eq!(Some(outer.stanza_type), text(stanza, "type"), "{}", name(entry));
        assert_eq!(outer.mediatype, text(stanza, "mediatype"), "{}", name(entry));
        assert_eq!(outer.edit, text(stanza, "edit"), "{}", name(entry));
        assert_eq!(outer.decrypt_fail, text(stanza, "decrypt_fail"), "{}", name(entry));
    }
}

fn received(entry_name: &str) -> Content {
    let entries: Vec<Value> = content().into_iter().chain(malformed()).collect();
    let entry = entries.iter().find(|entry| name(entry) == entry_name).unwrap();
    decode(&bytes(entry), &context(entry), &Limits::default()).unwrap()
}

#[test]
fn cleaned_values() {
    assert_eq!(received("same-field-twice").text(), Some("second"));
    assert_eq!(received("media-thumbnail-not-jpeg").media().unwrap().thumbnail, None);
    assert_eq!(received("media-mimetype-crlf").media().unwrap().mimetype, Some("application/octet-stream"));
    assert_eq!(received("document-name-traversal").media().unwrap().file_name, Some("x"));
    let name = received("document-name-bidi");
    assert!(name.media().unwrap().file_name.unwrap().is_ascii());
    assert_eq!(received("uint32-over-32-bits").message().image_message.as_ref().unwrap().width, Some(640));
    let waveform = |name| received(name).message().audio_message.as_ref().unwrap().waveform.clone();
    assert_eq!(waveform("waveform-too-long"), None);
    assert!(waveform("waveform-out-of-range").unwrap().iter().all(|sample| *sample <= 100));
    let secret = received("secret-16-bytes").message().message_context_info.clone().unwrap();
    assert_eq!(secret.message_secret, None);
    let timer = received("expiration-negative-like").message().protocol_message.clone().unwrap();
    assert_eq!(timer.ephemeral_expiration, Some(7_776_000));
    for unquoted in ["reply-no-stanza-id", "reply-bad-participant"] {
        assert_eq!(received(unquoted).context_info().unwrap().quoted_message, None, "{unquoted}");
    }
    let chain = received("reply-chain");
    let quoted = chain.context_info().unwrap().quoted_message.as_ref().unwrap();
    let inner = quoted.extended_text_message.as_ref().unwrap();
    assert!(inner.text.is_some());
    assert_eq!(inner.context_info.as_ref().unwrap().quoted_message, None);
    let mentions = received("mention-not-a-jid");
    assert_eq!(mentions.context_info().unwrap().mentioned_jid, ["14155551002@s.whatsapp.net"]);
}

#[test]
fn typed_access() {
    let edit = received("edit");
    assert_eq!(
        (edit.text(), edit.sender_timestamp_ms()),
        (Some("Lunch on Friday?"), Some(1_757_404_860_000))
    );
    assert_eq!(edit.target().unwrap().id.as_deref(), Some("3EB0C767D26A1D8F7E5B21"));
    assert_eq!(received("reaction").reaction(), Some("👍"));
    assert_eq!(received("reaction-revoke").reaction(), None);
    assert!(received("image-view-once").is_view_once());
    assert!(received("sender-key").sender_key().is_some());
    assert!(received("sender-key-and-text").sender_key().is_some());
    for refused in ["sender-key-in-direct-chat", "sender-key-other-group", "sender-key-empty"] {
        assert!(received(refused).sender_key().is_none(), "{refused}");
    }
    assert_eq!(received("device-sent-by-other").text(), None);
    assert_eq!(received("two-contents").text(), None);
    assert_eq!(received("document-with-caption").text(), Some("Please sign"));
    assert_eq!(received("video-gif").kind().media_key_label(), Some("WhatsApp Video Keys"));
}

#[test]
fn every_kind_has_a_vector() {
    let seen: Vec<String> =
        content().iter().filter_map(|entry| text(entry, "kind").map(str::to_owned)).collect();
    for kind in Kind::ALL {
        assert!(seen.iter().any(|name| name == kind.as_str()), "{kind}");
    }
}
