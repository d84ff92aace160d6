//! The schemas of the OpenAPI document.

use serde_json::{Map, Value, json};

use super::journal::MAX_PAGE;
use super::phones::{MAX_NAME, MAX_WAIT};
use super::world::{MAX_ADVANCE, MAX_BACK, MAX_HELD};
use crate::Garbage;
use crate::faults::Fault;

/// An object with these members and no others. A name that ends in `?` may be absent.
fn object(members: &[(&str, Value)]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, schema) in members {
        match name.strip_suffix('?') {
            Some(name) => properties.insert(name.to_owned(), schema.clone()),
            None => {
                required.push(*name);
                properties.insert((*name).to_owned(), schema.clone())
            }
        };
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list(item: Value) -> Value {
    json!({ "type": "array", "items": item })
}

fn or_null(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn number() -> Value {
    json!({ "type": "string", "pattern": "^\\+?[1-9][0-9]{4,14}$", "description": "E.164, digits" })
}

fn user() -> Value {
    json!({
        "type": "string", "minLength": 1,
        "description": "user-visible identifier (alice), address (1-108@interop) or number of a test phone",
    })
}

fn message_id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 128 })
}

fn long_text() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 65_536 })
}

fn garbage() -> Value {
    json!({ "enum": Garbage::ALL.iter().map(|garbage| garbage.name()).collect::<Vec<_>>() })
}

fn probability() -> Value {
    json!({ "type": "number", "minimum": 0, "maximum": 1 })
}

fn fault_profile() -> Value {
    json!({ "enum": ["calm", "default", "storm"] })
}

/// The schema of a fault's name.
pub(super) fn fault_name() -> Value {
    json!({ "enum": Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>() })
}

fn message() -> Value {
    object(&[
        ("seq", count()),
        ("change", count()),
        ("direction", json!({ "enum": ["in", "out"] })),
        ("peer", text()),
        ("id", text()),
        ("t", count()),
        ("kind", text()),
        ("text?", text()),
        ("about?", text()),
        (
            "state",
            json!({ "enum": ["waiting", "shown", "pending", "sent", "failed", "delivered", "read", "played"] }),
        ),
        ("reactions?", object(&[("in?", reference("Reaction")), ("out?", reference("Reaction"))])),
        ("edited_ms?", json!({ "type": "integer" })),
        ("revoked?", json!({ "type": "boolean" })),
        ("notify?", text()),
        ("failure?", text()),
    ])
}

fn phone() -> Value {
    object(&[
        ("number", number()),
        ("jid", text()),
        ("name", text()),
        ("identity", json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })),
        ("registration", count()),
        ("online", json!({ "type": "boolean" })),
        ("blocked", list(text())),
        ("messages", count()),
        ("unread", count()),
        ("change", count()),
    ])
}

fn account() -> Value {
    object(&[
        ("jid", text()),
        ("integrator", or_null("integer")),
        ("identifier", or_null("string")),
        ("name", or_null("string")),
        ("registration", count()),
        ("signed_prekey", count()),
        ("prekeys", count()),
        ("mailbox", count()),
        ("created", count()),
        ("last_seen", count()),
        ("connected", json!({ "type": "boolean" })),
    ])
}

fn user_pushes() -> Value {
    object(&[
        ("user", text()),
        ("integrator", count()),
        ("to", text()),
        ("state", json!({ "enum": ["idle", "waiting", "sending"] })),
        ("why?", json!({ "enum": ["activity", "reminder", "by_hand"] })),
        ("due?", count()),
        ("tries", count()),
        ("last?", object(&[("t", count()), ("status?", count()), ("outcome", text())])),
    ])
}

fn partner_pushes() -> Value {
    object(&[("integrator", count()), ("failures", count()), ("probe?", count())])
}

/// All schemas by name.
pub(super) fn all() -> Value {
    json!({
        "Phone": phone(),
        "Phones": object(&[("phones", list(reference("Phone")))]),
        "NewPhone": object(&[
            ("number", number()),
            ("name?", json!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME })),
        ]),
        "Message": message(),
        "Messages": object(&[("messages", list(reference("Message"))), ("change", count())]),
        "Reaction": object(&[("emoji", text()), ("t_ms", json!({ "type": "integer" }))]),
        "NewMessage": object(&[("to", user()), ("text", long_text())]),
        "NewFile": object(&[
            ("to", user()),
            ("kind", text()),
            ("mimetype", text()),
            ("data", text()),
            ("caption?", text()),
            ("file_name?", text()),
        ]),
        "FileInfo": object(&[
            ("kind", text()),
            ("mimetype", text()),
            ("file_length", count()),
            ("file_sha256", text()),
            ("caption?", text()),
            ("file_name?", text()),
        ]),
        "Sent": object(&[("id", text())]),
        "Read": object(&[("peer", user()), ("id?", message_id())]),
        "About": object(&[("peer", user()), ("id", message_id())]),
        "TextAbout": object(&[("peer", user()), ("id", message_id()), ("text", long_text())]),
        "React": object(&[("peer", user()), ("id", message_id()), ("emoji", text())]),
        "Typing": object(&[("peer", user()), ("state", json!({ "enum": ["composing", "recording", "paused"] }))]),
        "Garbage": object(&[("to", user()), ("what", garbage())]),
        "Nothing": object(&[]),
        "ReadIds": object(&[("ids", list(text()))]),
        "Peer": object(&[("peer", user())]),
        "User": account(),
        "Users": object(&[("users", list(reference("User")))]),
        "Event": {
            "type": "object",
            "description": "`event` says what happened; its further members depend on that",
            "properties": { "seq": count(), "t": count(), "connection": count(), "user": text(), "event": text() },
            "required": ["seq", "t", "event"],
        },
        "Journal": object(&[("events", list(reference("Event"))), ("last", count())]),
        "Hold": object(&[
            ("to", user()),
            ("count", json!({ "type": "integer", "minimum": 1, "maximum": MAX_HELD })),
            ("seed?", count()),
        ]),
        "Fault": object(&[
            ("name", fault_name()),
            ("layer", json!({ "enum": ["http", "push", "tcp", "stanza", "message", "time", "media"] })),
            ("what", text()),
            ("default", probability()),
            ("probability", probability()),
            ("left?", count()),
            ("injected", count()),
        ]),
        "Faults": object(&[("profile", fault_profile()), ("seed", count()), ("faults", list(reference("Fault")))]),
        "FaultSetting": object(&[("probability", probability()), ("times?", count())]),
        "FaultProfile": object(&[("profile?", fault_profile()), ("seed?", count())]),
        "Pushes": object(&[("pushes", list(user_pushes())), ("partners", list(partner_pushes()))]),
        "PushTo": object(&[("to", user())]),
        "Magic": object(&[("numbers", list(object(&[("number", number()), ("what", text())])))]),
        "Release": object(&[("to", user())]),
        "Time": object(&[("now", count())]),
        "Advance": object(&[("seconds", json!({ "type": "integer", "minimum": 0, "maximum": MAX_ADVANCE }))]),
        "Back": object(&[("seconds", json!({ "type": "integer", "minimum": 0, "maximum": MAX_BACK }))]),
        "Problem": object(&[("type", text()), ("title", text()), ("status", count()), ("detail", text())]),
    })
}

/// The schema of the query `wait`.
pub(super) fn wait() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": MAX_WAIT, "default": 0 })
}

/// The schema of the query `limit`.
pub(super) fn limit() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": MAX_PAGE })
}

/// The schema of the query `after`.
pub(super) fn after() -> Value {
    count()
}

/// The schema of the path's `number`.
pub(super) fn path_number() -> Value {
    number()
}
