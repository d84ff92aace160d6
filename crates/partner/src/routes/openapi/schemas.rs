//! What is in the bodies: closed for what this server sends, open for what it accepts.

use serde_json::{Value, json};

/// An object with exactly these members, all of them there.
fn closed(properties: Value) -> Value {
    let required: Vec<String> =
        properties.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// An object with at least these members.
fn open(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(super) fn all() -> Value {
    json!({
        "KeySet": closed(json!({ "keys": { "type": "array", "items": key(), "minItems": 1 } })),
        "Push": open(json!({ "to": { "type": "string", "minLength": 1, "maxLength": 40 } }), &["to"]),
        "TokenRequest": open(json!({ "audience": { "enum": ["whatsapp", null] } }), &[]),
        "TokenAnswer": closed(json!({
            "token": { "type": "string", "maxLength": 4096 }, "expires_in": count(),
            "identifier": { "type": "string", "minLength": 1, "maxLength": 40 },
            "integrator_id": { "type": "string", "pattern": "^[1-9][0-9]{0,2}$" },
        })),
        "Me": me(),
        "Media": closed(json!({
            "storage_reference": text(), "download_path": text(), "size": count(), "sha256": text(),
            "expires_at": { "type": "string", "format": "date-time" },
        })),
        "WakeTarget": wake_target(),
        "Problem": problem(),
    })
}

fn key() -> Value {
    closed(json!({
        "kid": text(), "kty": { "const": "RSA" }, "alg": { "const": "RS256" }, "use": { "const": "sig" }, "n": text(), "e": text(),
    }))
}

fn me() -> Value {
    closed(json!({
        "identifier": text(), "integrator_id": text(), "base_url": text(), "jwks_url": text(), "revision": text(),
        "limits": closed(json!({
            "token_bytes": count(), "token_life_seconds": count(), "tokens_per_hour": count(), "request_bytes": count(),
            "media_bytes": count(), "media_bytes_per_day": count(), "media_bytes_stored": count(),
        })),
        "media_base_url": text(),
        "wake_kinds": { "type": "array", "items": text() },
        "web_push_key": { "type": ["string", "null"] },
    }))
}

fn wake_target() -> Value {
    let token = |kind: &str, pattern: &str| {
        let token = json!({ "type": "string", "pattern": pattern });
        open(json!({ "kind": { "const": kind }, "token": token }), &["kind", "token"])
    };
    let (fcm, apns) = (token("fcm", "^[!-~]{1,4096}$"), token("apns", "^[0-9A-Fa-f]{1,200}$"));
    let base64url = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let keys = json!({ "p256dh": base64url("^B[A-P][A-Za-z0-9_-]{84}[AEIMQUYcgkosw048]=?$"), "auth": base64url("^[A-Za-z0-9_-]{21}[AQgw](==)?$") });
    let keys = open(keys, &["p256dh", "auth"]);
    let web_push = open(
        json!({ "kind": { "const": "web-push" }, "endpoint": { "type": "string", "format": "uri" }, "keys": keys }),
        &["kind", "endpoint", "keys"],
    );
    let socket = open(json!({ "kind": { "const": "socket" } }), &["kind"]);
    json!({ "oneOf": [fcm, apns, web_push, socket] })
}

fn problem() -> Value {
    let mut problem = closed(json!({
        "type": { "type": "string", "format": "uri" }, "title": text(), "status": count(), "instance": text(),
    }));
    if let Some(properties) = problem.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("detail".to_owned(), text());
    }
    problem
}
