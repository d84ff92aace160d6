//! What the document says about test phones.

use serde_json::{Value, json};

use super::super::schemas;
use super::{Call, content};

fn phone_example() -> Value {
    json!({
        "number": "14155551001", "jid": "14155551001@s.whatsapp.net", "name": "Joe",
        "identity": "5d4f8c1f0a7be6c5b0b9e9a0d5cf3c1a86a7c0d6a4f9c2f1e8b7d6c5a4938271",
        "registration": 4711, "online": true, "blocked": [], "messages": 2, "unread": 1, "change": 5,
    })
}

fn message_example() -> Value {
    json!({
        "seq": 1, "change": 1, "direction": "in", "peer": "1-10853634039893@interop", "id": "3EB0C431C26A1916E07E",
        "t": 1_763_870_400, "kind": "text", "text": "Hello Joe", "state": "shown", "notify": "Alice",
    })
}

pub(in crate::control) fn list_phones() -> Value {
    let example = json!({ "phones": [phone_example()] });
    Call::new("listPhones", "All test phones", "200", Some(("Phones", example))).value()
}

pub(in crate::control) fn create_phone() -> Value {
    let call = Call::new(
        "createPhone",
        "Makes a test phone, a WhatsApp user; 200 with the one that is there already",
        "201",
        Some(("Phone", phone_example())),
    );
    let mut value = call.body("NewPhone", json!({ "number": "14155551001", "name": "Joe" })).value();
    if let Some(responses) = value.get_mut("responses").and_then(Value::as_object_mut) {
        let there = json!({ "description": "It was there", "content": content("Phone", phone_example()) });
        responses.insert("200".to_owned(), there);
    }
    value
}

pub(in crate::control) fn get_phone() -> Value {
    Call::new("getPhone", "One test phone", "200", Some(("Phone", phone_example()))).of_phone().value()
}

pub(in crate::control) fn delete_phone() -> Value {
    let summary = "Deletes a phone: its keys and messages to it give error 404";
    Call::new("deletePhone", summary, "204", None).of_phone().value()
}

pub(in crate::control) fn get_messages() -> Value {
    let example = json!({ "messages": [message_example()], "change": 1 });
    Call::new("getMessages", "What a phone shows, received and sent", "200", Some(("Messages", example)))
        .of_phone()
        .query(
            "after",
            schemas::after(),
            "only what has changed after this change; a number of an earlier run gives all",
        )
        .query("wait", schemas::wait(), "seconds to wait for a change, if there is none")
        .value()
}

pub(in crate::control) fn send_message() -> Value {
    let example = json!({ "id": "3EB0C431C26A1916E07E" });
    Call::new("sendMessage", "Lets a phone write a text", "202", Some(("Sent", example)))
        .of_phone()
        .body("NewMessage", json!({ "to": "alice", "text": "Hi Alice" }))
        .value()
}

/// A call that lets a phone send something about a message.
fn sends(id: &'static str, summary: &'static str, schema: &'static str, body: Value) -> Value {
    let example = json!({ "id": "3EB0A9253FA64269E11C" });
    Call::new(id, summary, "202", Some(("Sent", example))).of_phone().body(schema, body).value()
}

/// A call after which a phone is another one.
fn changes(id: &'static str, summary: &'static str) -> Value {
    let call = Call::new(id, summary, "200", Some(("Phone", phone_example())));
    call.of_phone().body("Nothing", json!({})).value()
}

fn about_example() -> Value {
    json!({ "peer": "alice", "id": "3EB0C431C26A1916E07E" })
}

fn text_example(text: &str) -> Value {
    json!({ "peer": "alice", "id": "3EB0C431C26A1916E07E", "text": text })
}

pub(in crate::control) fn reply() -> Value {
    sends("reply", "Lets a phone answer a message, quoting it", "TextAbout", text_example("Yes, at noon"))
}

pub(in crate::control) fn react() -> Value {
    let body = json!({ "peer": "alice", "id": "3EB0C431C26A1916E07E", "emoji": "👍" });
    sends("react", "Lets a phone react to a message; an empty emoji takes the reaction back", "React", body)
}

pub(in crate::control) fn edit() -> Value {
    let summary = "Lets a phone give a message that it sent another text";
    sends("edit", summary, "TextAbout", text_example("Lunch at one?"))
}

pub(in crate::control) fn revoke() -> Value {
    sends("revoke", "Lets a phone take a message back that it sent", "About", about_example())
}

pub(in crate::control) fn garbage() -> Value {
    let summary = "Lets a phone send what a client cannot use: a damaged ciphertext (the copy that is asked for is \
        good), bad padding, no protobuf, a content that breaks a rule of its kind";
    sends("sendGarbage", summary, "Garbage", json!({ "to": "alice", "what": "ciphertext" }))
}

pub(in crate::control) fn typing() -> Value {
    let call = Call::new("type", "Lets a phone type, record or stop", "204", None).of_phone();
    call.body("Typing", json!({ "peer": "alice", "state": "composing" })).value()
}

pub(in crate::control) fn played() -> Value {
    let example = json!({ "ids": ["3EB0C431C26A1916E07E"] });
    let call = Call::new("playMessage", "Lets a phone play one message", "200", Some(("ReadIds", example)));
    call.of_phone().body("About", about_example()).value()
}

pub(in crate::control) fn ask_again() -> Value {
    let summary = "Lets a phone ask for a message again, though it could read it; five times at most";
    Call::new("askAgain", summary, "204", None).of_phone().body("About", about_example()).value()
}

pub(in crate::control) fn lose_session() -> Value {
    let summary = "Lets a phone forget its session with somebody: what comes next does not open at first";
    let call = Call::new("loseSession", summary, "204", None).of_phone();
    call.body("Peer", json!({ "peer": "alice" })).value()
}

pub(in crate::control) fn reinstall() -> Value {
    changes(
        "reinstall",
        "Sets a phone up anew: another identity, which its contacts are told of, and no session",
    )
}

pub(in crate::control) fn offline() -> Value {
    changes("goOffline", "Lets a phone go away: its mailbox waits, and what it is told to send")
}

pub(in crate::control) fn online() -> Value {
    changes("comeOnline", "Lets a phone come back")
}

pub(in crate::control) fn read_messages() -> Value {
    let example = json!({ "ids": ["3EB0C431C26A1916E07E"] });
    Call::new(
        "readMessages",
        "Lets a phone read one message, or all of a chat",
        "200",
        Some(("ReadIds", example)),
    )
    .of_phone()
    .body("Read", json!({ "peer": "alice", "id": "3EB0C431C26A1916E07E" }))
    .value()
}

pub(in crate::control) fn block_user() -> Value {
    let call = Call::new("blockUser", "Lets a phone block somebody", "204", None).of_phone();
    call.body("Peer", json!({ "peer": "alice" })).value()
}

pub(in crate::control) fn unblock_user() -> Value {
    let call = Call::new("unblockUser", "Lets a phone unblock somebody", "204", None).of_phone();
    call.body("Peer", json!({ "peer": "alice" })).value()
}
