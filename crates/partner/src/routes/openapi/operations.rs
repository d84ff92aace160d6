//! Every call: who may make it, what it takes, what it answers. The first status named is that of the example.

use serde_json::{Map, Value, json};

use super::super::JWKS_PATH;
use super::super::me::REVISION;

/// One call under construction.
struct Operation(Map<String, Value>);

impl Operation {
    fn new(id: &str, summary: &str) -> Self {
        Self(Map::from_iter([
            ("operationId".to_owned(), id.into()),
            ("summary".to_owned(), summary.into()),
            ("responses".to_owned(), json!({})),
        ]))
    }

    /// Who may call. Brings the statuses that this costs.
    fn security(mut self, scheme: &str, problems: &[u16]) -> Self {
        self.0.insert("security".to_owned(), json!([{ scheme: [] }]));
        self.problems(problems)
    }

    /// One that may be left out, unless it is in the path.
    fn parameter(self, name: &str, place: &str, example: &str) -> Self {
        self.described(json!({
            "name": name, "in": place, "required": place == "path", "schema": { "type": "string" }, "example": example,
        }))
    }

    /// One that has to be there, in this form.
    fn required(self, name: &str, place: &str, pattern: &str, example: &str) -> Self {
        self.described(json!({
            "name": name, "in": place, "required": true,
            "schema": { "type": "string", "pattern": pattern }, "example": example,
        }))
    }

    fn described(mut self, parameter: Value) -> Self {
        if let Some(list) = self.0.entry("parameters").or_insert_with(|| json!([])).as_array_mut() {
            list.push(parameter);
        }
        self
    }

    fn takes(mut self, schema: &str, example: Value) -> Self {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        self.0.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        self
    }

    /// The body may be left out.
    fn takes_optional(self, schema: &str, example: Value) -> Self {
        let mut operation = self.takes(schema, example);
        if let Some(body) = operation.0.get_mut("requestBody").and_then(Value::as_object_mut) {
            body.insert("required".to_owned(), false.into());
        }
        operation
    }

    fn binary(mut self, media_type: &str) -> Self {
        let content = json!({ media_type: { "schema": { "type": "string", "format": "binary" } } });
        self.0.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        self
    }

    fn answer(mut self, status: u16, answer: Value) -> Self {
        if let Some(responses) = self.0.get_mut("responses").and_then(Value::as_object_mut) {
            responses.insert(status.to_string(), answer);
        }
        self
    }

    fn json(self, status: u16, schema: &str, example: Value) -> Self {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        self.answer(status, json!({ "description": "OK", "content": content }))
    }

    fn empty(self, status: u16, description: &str) -> Self {
        self.answer(status, json!({ "description": description }))
    }

    fn problems(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            self = self.answer(*status, json!({ "$ref": "#/components/responses/problem" }));
        }
        self
    }

    fn done(self) -> Value {
        self.0.into()
    }
}

/// How a client may call a device.
const DEVICE: &str = "^[A-Za-z0-9._~-]{1,64}$";
/// SHA-256 in base64url.
const DIGEST: &str = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$";
/// Pairs of a key and base64, of which one is the SHA-256.
const METADATA: &str =
    "^([^ ,]+( [A-Za-z0-9+/=]*)?,)*sha256 [A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=(,[^ ,]+( [A-Za-z0-9+/=]*)?)*$";

const SESSION: [u16; 3] = [401, 403, 503];

/// All paths; `base` and `media` are the paths of the base URLs.
pub(super) fn all(base: &str, media: &str) -> Value {
    json!({
        JWKS_PATH: { "get": get_jwks() },
        (format!("{base}/push")): { "post": post_push() },
        "/v1/token": { "post": issue_token() },
        "/v1/me": { "get": get_me(), "delete": delete_me() },
        "/v1/wake-targets/{device}": { "put": put_wake_target(), "delete": delete_wake_target() },
        "/v1/wake": { "get": get_wake() },
        "/v1/media/by-hash/{hash}": { "put": put_media(), "head": head_media_by_hash() },
        "/v1/media/{storage_reference}": { "delete": delete_media() },
        "/v1/uploads": { "post": create_upload(), "options": upload_options("getUploadOptions").done() },
        "/v1/uploads/{id}": {
            "get": get_upload(), "head": head_upload(), "patch": patch_upload(), "delete": delete_upload(),
            "options": upload_options("getUploadOptionsById").parameter("id", "path", EXAMPLE_ID).done(),
        },
        (format!("{media}/{{storage_reference}}")): {
            "get": get_media("getMedia", "An encrypted file, or a part of it"),
            "head": get_media("headMedia", "The headers of an encrypted file"),
        },
        "/openapi.json": { "get": get_openapi() },
    })
}

fn get_jwks() -> Value {
    let example = json!({ "keys": [{
        "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "kty": "RSA", "alg": "RS256", "use": "sig", "n": "0vx7ago", "e": "AQAB",
    }] });
    Operation::new("getJwks", "The keys that verify user tokens")
        .parameter("If-None-Match", "header", "\"none\"")
        .json(200, "KeySet", example)
        .empty(304, "Unchanged")
        .done()
}

fn post_push() -> Value {
    Operation::new("postPush", "Something waits for a user: WhatsApp asks to wake the user's devices")
        .takes("Push", json!({ "to": "alice" }))
        .empty(200, "The wake-up is stored")
        .security("whatsapp", &[400, 401, 404, 408, 413, 415, 429, 503])
        .done()
}

fn issue_token() -> Value {
    let example =
        json!({ "token": "eyJraWQiOi...", "expires_in": 3600, "identifier": "alice", "integrator_id": "1" });
    Operation::new("issueToken", "A token that proves to WhatsApp who the caller is")
        .takes_optional("TokenRequest", json!({ "audience": "whatsapp" }))
        .json(200, "TokenAnswer", example)
        .security("session", &SESSION)
        .problems(&[400, 408, 413, 415, 429])
        .done()
}

fn get_me() -> Value {
    let example = json!({
        "identifier": "alice", "integrator_id": "1", "base_url": "https://foobar.com/whatsapp",
        "jwks_url": "https://foobar.com/.well-known/oauth/openid/jwks",
        "limits": { "token_bytes": 4096, "token_life_seconds": 3600, "tokens_per_hour": 60, "request_bytes": 16384,
            "media_bytes": 2_147_483_674_u64, "media_bytes_per_day": 2_147_483_674_u64, "media_bytes_stored": 10_737_418_240_u64 },
        "media_base_url": "https://foobar.com/whatsapp", "wake_kinds": ["socket"], "web_push_key": null, "revision": REVISION,
    });
    Operation::new("getMe", "Who the caller is, and the figures of this server")
        .json(200, "Me", example)
        .security("session", &SESSION)
        .done()
}

fn delete_me() -> Value {
    Operation::new("deleteMe", "Forgets the caller: wake targets, media, what waits")
        .empty(202, "Gone within 24 hours")
        .security("session", &SESSION)
        .done()
}

fn put_wake_target() -> Value {
    Operation::new("putWakeTarget", "Where a device of the caller can be woken")
        .required("device", "path", DEVICE, "phone")
        .takes("WakeTarget", json!({ "kind": "socket" }))
        .empty(204, "Stored, in the place of an earlier one")
        .security("session", &SESSION)
        .problems(&[400, 408, 413, 415, 507])
        .done()
}

fn delete_wake_target() -> Value {
    Operation::new("deleteWakeTarget", "The device is woken no more")
        .required("device", "path", DEVICE, "phone")
        .empty(204, "It is not there, or not any more")
        .security("session", &SESSION)
        .problems(&[400])
        .done()
}

fn get_wake() -> Value {
    let content = json!({ "text/event-stream": { "schema": { "type": "string" }, "example":
        "event: wake\ndata: {\"id\":\"3q2-796tvu_erb7v3q2-7w\",\"type\":\"wake\"}\n\n" } });
    Operation::new("getWake", "Wake-ups as server-sent events, for as long as the stream is open")
        .required("device", "query", DEVICE, "phone")
        .described(json!({
            "name": "chat", "in": "query", "required": false, "schema": { "const": "connected" }, "example": "connected",
        }))
        .answer(200, json!({ "description": "A stream without end", "content": content }))
        .security("session", &SESSION)
        .problems(&[400, 507])
        .done()
}

/// SHA-256 of 26 zero bytes, which the examples are about.
const EXAMPLE_DIGEST: &str = "ZZ02ylY7pGItqrs2px2vr2Bgzcv4m7EudUJhmEltJyw";
const EXAMPLE_REFERENCE: &str = "kEwqG1mPWkZ3cT0sJvYx8Lr5oQbNdU7iHf2aVzRg4Xw";

fn media_example() -> Value {
    json!({
        "storage_reference": EXAMPLE_REFERENCE,
        "download_path": format!("/interop/whatsapp/download/1/{EXAMPLE_REFERENCE}/"),
        "size": 26, "sha256": EXAMPLE_DIGEST, "expires_at": "2027-01-08T12:00:00Z",
    })
}

fn put_media() -> Value {
    Operation::new("putMedia", "Stores an encrypted file in one request; a repeat has the same outcome")
        .required("hash", "path", DIGEST, EXAMPLE_DIGEST)
        .binary("application/octet-stream")
        .json(201, "Media", media_example())
        .json(200, "Media", media_example())
        .security("session", &SESSION)
        .problems(&[400, 404, 408, 411, 413, 415, 422, 507])
        .done()
}

fn head_media_by_hash() -> Value {
    Operation::new("headMediaByHash", "Whether the caller has stored a file, and its reference")
        .parameter("hash", "path", EXAMPLE_DIGEST)
        .empty(200, "`Storage-Reference` names it, `Download-Path` is where WhatsApp finds it")
        .security("session", &SESSION)
        .problems(&[404])
        .done()
}

fn delete_media() -> Value {
    Operation::new("deleteMedia", "Deletes a file of the caller")
        .parameter("storage_reference", "path", EXAMPLE_REFERENCE)
        .empty(204, "From now on it is not there")
        .security("session", &SESSION)
        .problems(&[404])
        .done()
}

fn tus(operation: Operation) -> Operation {
    operation.required("Tus-Resumable", "header", "^1\\.0\\.0$", "1.0.0").security("session", &SESSION)
}

fn create_upload() -> Value {
    tus(Operation::new("createUpload", "Begins a resumable upload (tus 1.0)"))
        .required("Upload-Length", "header", "^[0-9]+$", "26")
        .required(
            "Upload-Metadata",
            "header",
            METADATA,
            "sha256 ZZ02ylY7pGItqrs2px2vr2Bgzcv4m7EudUJhmEltJyw=",
        )
        .empty(201, "`Location` names the upload")
        .problems(&[400, 412, 413, 422, 507])
        .done()
}

fn upload_options(id: &str) -> Operation {
    Operation::new(id, "What this server can do of tus")
        .empty(204, "`Tus-Version`, `Tus-Extension`, and `Tus-Max-Size` in bytes")
}

const EXAMPLE_ID: &str = "3q2-796tvu_erb7v3q2-7w";

fn get_upload() -> Value {
    Operation::new("getUpload", "What a complete upload has become")
        .parameter("id", "path", EXAMPLE_ID)
        .json(200, "Media", media_example())
        .security("session", &SESSION)
        .problems(&[404])
        .done()
}

fn head_upload() -> Value {
    tus(Operation::new("headUpload", "How much of an upload is there"))
        .parameter("id", "path", EXAMPLE_ID)
        .empty(200, "`Upload-Offset`, `Upload-Length`, and `Storage-Reference` once it is complete")
        .problems(&[404, 412])
        .done()
}

fn patch_upload() -> Value {
    tus(Operation::new("patchUpload", "Sends more of an upload"))
        .parameter("id", "path", EXAMPLE_ID)
        .required("Upload-Offset", "header", "^[0-9]+$", "0")
        .binary("application/offset+octet-stream")
        .empty(204, "`Upload-Offset`, and `Storage-Reference` once it is complete")
        .problems(&[400, 404, 408, 409, 412, 413, 415, 422])
        .done()
}

fn delete_upload() -> Value {
    tus(Operation::new("deleteUpload", "Gives an upload up; a complete one stays an object"))
        .parameter("id", "path", EXAMPLE_ID)
        .empty(204, "It is not there any more")
        .problems(&[404, 412])
        .done()
}

fn get_media(id: &str, summary: &str) -> Value {
    let bytes = json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } });
    Operation::new(id, summary)
        .parameter("storage_reference", "path", EXAMPLE_REFERENCE)
        .answer(200, json!({ "description": "The whole file", "content": bytes }))
        .answer(206, json!({ "description": "A part of it", "content": bytes }))
        .empty(304, "Unchanged")
        .problems(&[404, 416, 429, 503])
        .done()
}

fn get_openapi() -> Value {
    let content = json!({ "application/json": { "schema": { "type": "object" } } });
    Operation::new("getOpenApi", "This document")
        .answer(200, json!({ "description": "OK", "content": content }))
        .done()
}
