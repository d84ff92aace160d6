//! `GET /openapi.json`: OpenAPI 3.1.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{App, JWKS_PATH, me::REVISION};

pub(super) async fn get(State(app): State<Arc<App>>) -> Json<Value> {
    let mut paths = json!({
        JWKS_PATH: { "get": get_jwks("getJwks") },
        "/v1/token": { "post": issue_token() },
        "/v1/me": { "get": get_me() },
        "/openapi.json": { "get": get_openapi() },
    });
    if let Some(paths) = paths.as_object_mut().filter(|_| !app.base_url.path().is_empty()) {
        let under_base = format!("{}{JWKS_PATH}", app.base_url.path());
        paths.insert(under_base, json!({ "get": get_jwks("getJwksUnderBase") }));
    }
    Json(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Landbridge partner server",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("Follows revision {REVISION} of WhatsApp's interoperability document."),
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": app.base_url.origin() }],
        "paths": paths,
        "components": {
            "securitySchemes": { "session": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas(),
            "responses": { "problem": {
                "description": "RFC 9457 problem document; `type` ends in a slug of a closed set",
                "headers": { "X-Request-Id": { "schema": { "type": "string" } } },
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            } },
        },
    }))
}

fn problem() -> Value {
    json!({ "$ref": "#/components/responses/problem" })
}

fn answer(schema: &str, example: Value) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "description": "OK", "content": { "application/json": { "schema": schema, "example": example } } })
}

fn get_jwks(operation: &str) -> Value {
    let example = json!({ "keys": [{
        "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "kty": "RSA", "alg": "RS256", "use": "sig", "n": "0vx7ago", "e": "AQAB",
    }] });
    json!({
        "operationId": operation,
        "summary": "The keys that verify user tokens",
        "parameters": [{ "name": "If-None-Match", "in": "header", "schema": { "type": "string" } }],
        "responses": { "200": answer("KeySet", example), "304": { "description": "Unchanged" } },
    })
}

fn issue_token() -> Value {
    let example =
        json!({ "token": "eyJraWQiOi...", "expires_in": 3600, "identifier": "alice", "integrator_id": "1" });
    json!({
        "operationId": "issueToken",
        "summary": "A token that proves to WhatsApp who the caller is",
        "security": [{ "session": [] }],
        "requestBody": { "required": false, "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/TokenRequest" }, "example": {},
        } } },
        "responses": {
            "200": answer("TokenAnswer", example), "400": problem(), "401": problem(), "403": problem(), "408": problem(),
            "413": problem(), "415": problem(), "429": problem(), "503": problem(),
        },
    })
}

fn get_me() -> Value {
    let example = json!({
        "identifier": "alice", "integrator_id": "1", "base_url": "https://foobar.com/whatsapp",
        "jwks_url": "https://foobar.com/.well-known/oauth/openid/jwks",
        "limits": { "token_bytes": 4096, "token_life_seconds": 3600, "tokens_per_hour": 60, "request_bytes": 16384 },
        "revision": REVISION,
    });
    json!({
        "operationId": "getMe",
        "summary": "Who the caller is, and the figures of this server",
        "security": [{ "session": [] }],
        "responses": { "200": answer("Me", example), "401": problem(), "403": problem(), "503": problem() },
    })
}

fn get_openapi() -> Value {
    json!({
        "operationId": "getOpenApi",
        "summary": "This document",
        "responses": { "200": { "description": "OK", "content": { "application/json": { "schema": { "type": "object" } } } } },
    })
}

/// An object with exactly these members, all of them there.
fn closed(properties: Value) -> Value {
    let required: Vec<String> =
        properties.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let key = closed(json!({
        "kid": text(), "kty": { "const": "RSA" }, "alg": { "const": "RS256" }, "use": { "const": "sig" }, "n": text(), "e": text(),
    }));
    let mut problem = closed(json!({
        "type": { "type": "string", "format": "uri" }, "title": text(), "status": count(), "instance": text(),
    }));
    if let Some(properties) = problem.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("detail".to_owned(), text());
    }
    json!({
        "KeySet": closed(json!({ "keys": { "type": "array", "items": key, "minItems": 1 } })),
        "TokenRequest": { "type": "object", "properties": { "audience": { "const": "whatsapp" } } },
        "TokenAnswer": closed(json!({
            "token": { "type": "string", "maxLength": 4096 }, "expires_in": count(),
            "identifier": { "type": "string", "minLength": 1, "maxLength": 40 },
            "integrator_id": { "type": "string", "pattern": "^[1-9][0-9]{0,2}$" },
        })),
        "Me": closed(json!({
            "identifier": text(), "integrator_id": text(), "base_url": text(), "jwks_url": text(), "revision": text(),
            "limits": closed(json!({
                "token_bytes": count(), "token_life_seconds": count(), "tokens_per_hour": count(), "request_bytes": count(),
            })),
        })),
        "Problem": problem,
    })
}
