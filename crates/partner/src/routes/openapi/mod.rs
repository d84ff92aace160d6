//! `GET /openapi.json`: OpenAPI 3.1.

mod operations;
mod schemas;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{App, JWKS_PATH, me::REVISION};

pub(super) async fn get(State(app): State<Arc<App>>) -> Json<Value> {
    let base = app.base_url.path();
    let mut paths = operations::all(base, &app.media_path);
    if let Some(paths) = paths.as_object_mut().filter(|_| !base.is_empty()) {
        let mut under_base = paths.get(JWKS_PATH).cloned().unwrap_or_default();
        if let Some(operation) = under_base.pointer_mut("/get/operationId") {
            *operation = "getJwksUnderBase".into();
        }
        paths.insert(format!("{base}{JWKS_PATH}"), under_base);
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
            "securitySchemes": {
                "session": { "type": "http", "scheme": "bearer", "description": "A session of the partner's own user" },
                "whatsapp": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "WhatsApp's bearer" },
            },
            "schemas": schemas::all(),
            "responses": { "problem": {
                "description": "RFC 9457 problem document; `type` ends in a slug of a closed set",
                "headers": { "X-Request-Id": { "schema": { "type": "string" } } },
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            } },
        },
    }))
}
