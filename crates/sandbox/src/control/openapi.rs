//! The OpenAPI document (3.1): what each call takes and gives, with an example of each.

mod files;
mod phones;
mod pushes;

use axum::Json;
use serde_json::{Map, Value, json};

use super::{PATH, operations, schemas};

pub(super) use files::*;
pub(super) use phones::*;
pub(super) use pushes::*;

/// `GET /openapi.json`.
pub(super) async fn document() -> Json<Value> {
    Json(build())
}

/// The document, made of the same table as the router.
pub(super) fn build() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let entry = paths.entry(format!("{PATH}{}", operation.path)).or_insert_with(|| json!({}));
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(operation.method.to_owned(), operation.document);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Landbridge sandbox: control API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Test phones of a simulated WhatsApp, its accounts, its journal. For tests: there is no \
                password, and nothing here exists at the real service.",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "responses": { "problem": {
                "description": "RFC 9457 problem document; `type` ends in a slug of a closed set",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            } },
        },
    })
}

/// A call: `ok` is the good answer's status, schema and example.
struct Call {
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<(&'static str, Value)>,
    ok: (&'static str, Option<(&'static str, Value)>),
    problems: &'static [&'static str],
}

impl Call {
    fn new(
        id: &'static str,
        summary: &'static str,
        status: &'static str,
        answer: Option<(&'static str, Value)>,
    ) -> Self {
        Self { id, summary, parameters: Vec::new(), body: None, ok: (status, answer), problems: &["500"] }
    }

    /// About one phone, which the path names.
    fn of_phone(mut self) -> Self {
        let schema = schemas::path_number();
        self.parameters.push(json!({ "name": "number", "in": "path", "required": true, "schema": schema }));
        self.problems = &["404", "500"];
        self
    }

    fn query(mut self, name: &str, schema: Value, description: &str) -> Self {
        let parameter = json!({ "name": name, "in": "query", "schema": schema, "description": description });
        self.parameters.push(parameter);
        self.problems = if self.problems.contains(&"404") {
            &["400", "404", "422", "500"]
        } else {
            &["400", "422", "500"]
        };
        self
    }

    fn body(mut self, schema: &'static str, example: Value) -> Self {
        self.body = Some((schema, example));
        self.problems = if self.problems.contains(&"404") {
            &["400", "404", "409", "413", "415", "422", "500"]
        } else {
            &["400", "413", "415", "422", "500"]
        };
        self
    }

    fn value(self) -> Value {
        let (status, answer) = self.ok;
        let mut responses = Map::new();
        responses.insert(
            status.to_owned(),
            match answer {
                Some((schema, example)) => {
                    json!({ "description": "OK", "content": content(schema, example) })
                }
                None => json!({ "description": "Done" }),
            },
        );
        for status in self.problems {
            responses.insert((*status).to_owned(), json!({ "$ref": "#/components/responses/problem" }));
        }
        let mut value = json!({ "operationId": self.id, "summary": self.summary, "responses": responses });
        if let Some(members) = value.as_object_mut() {
            if !self.parameters.is_empty() {
                members.insert("parameters".to_owned(), Value::Array(self.parameters));
            }
            if let Some((schema, example)) = self.body {
                let body = json!({ "required": true, "content": content(schema, example) });
                members.insert("requestBody".to_owned(), body);
            }
        }
        value
    }
}

fn content(schema: &str, example: Value) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "application/json": { "schema": schema, "example": example } })
}

pub(super) fn list_users() -> Value {
    let example = json!({ "users": [{
        "jid": "1-10853634039893@interop", "integrator": 1, "identifier": "alice", "name": null, "registration": 4711,
        "signed_prekey": 1, "prekeys": 811, "mailbox": 0, "created": 1_763_870_400, "last_seen": 1_763_870_400,
        "connected": true,
    }] });
    Call::new("listUsers", "All accounts: partners' users and test phones", "200", Some(("Users", example)))
        .value()
}

pub(super) fn get_journal() -> Value {
    let example = json!({
        "events": [{ "seq": 7, "t": 1_763_870_400, "user": "1-10853634039893@interop", "event": "replaced" }],
        "last": 7,
    });
    Call::new(
        "getJournal",
        "What happened, and which rule was broken by whom",
        "200",
        Some(("Journal", example)),
    )
    .query("after", schemas::after(), "only events behind this position")
    .query("limit", schemas::limit(), "most events to give")
    .value()
}

pub(super) fn stream_events() -> Value {
    let mut value = Call::new("streamEvents", "The journal as it grows, as server-sent events", "200", None)
        .query("after", schemas::after(), "begin behind this position; default: with the next event")
        .value();
    if let Some(ok) = value.pointer_mut("/responses/200") {
        *ok = json!({
            "description": "`id` is the position, `event` the kind, `data` an Event as JSON",
            "content": { "text/event-stream": { "schema": { "type": "string" } } },
        });
    }
    if let Some(parameters) = value.get_mut("parameters").and_then(Value::as_array_mut) {
        let header = json!({ "name": "Last-Event-ID", "in": "header", "schema": schemas::after() });
        parameters.push(header);
    }
    value
}

pub(super) fn hold() -> Value {
    Call::new(
        "hold",
        "Holds the next messages to somebody back, then delivers them in another order",
        "204",
        None,
    )
    .body("Hold", json!({ "to": "alice", "count": 5, "seed": 42 }))
    .value()
}

pub(super) fn release() -> Value {
    Call::new("release", "Delivers what is held back for somebody", "204", None)
        .body("Release", json!({ "to": "alice" }))
        .value()
}

fn faults_example() -> Value {
    json!({ "profile": "default", "seed": 42, "faults": [{
        "name": "ack-late", "layer": "stanza",
        "what": "An ack comes up to 3 seconds late, behind acks of later stanzas.",
        "default": 0.03, "probability": 0.03, "injected": 1,
    }] })
}

pub(super) fn list_faults() -> Value {
    let summary = "What goes wrong on purpose: how likely, and how often it did";
    Call::new("listFaults", summary, "200", Some(("Faults", faults_example()))).value()
}

pub(super) fn set_faults() -> Value {
    Call::new(
        "setFaults",
        "Sets how likely all faults are, what all decisions are drawn from, or both",
        "200",
        Some(("Faults", faults_example())),
    )
    .body("FaultProfile", json!({ "profile": "storm", "seed": 42 }))
    .value()
}

pub(super) fn set_fault() -> Value {
    let mut call =
        Call::new("setFault", "Sets how likely one fault is", "200", Some(("Faults", faults_example())));
    let schema = schemas::fault_name();
    call.parameters.push(json!({ "name": "name", "in": "path", "required": true, "schema": schema }));
    call.problems = &["404"];
    call.body("FaultSetting", json!({ "probability": 1, "times": 1 })).value()
}

pub(super) fn list_magic() -> Value {
    let example = json!({ "numbers": [{
        "number": "15550100000", "what": "Always answers: with the text it was sent.",
    }] });
    Call::new("listMagic", "Numbers that behave in a way of their own", "200", Some(("Magic", example)))
        .value()
}

pub(super) fn get_clock() -> Value {
    let example = json!({ "now": 1_763_870_400 });
    Call::new("getClock", "The sandbox's time, in unix seconds", "200", Some(("Time", example))).value()
}

pub(super) fn advance_clock() -> Value {
    let example = json!({ "now": 1_766_548_800 });
    Call::new("advanceClock", "Moves the sandbox's time ahead", "200", Some(("Time", example)))
        .body("Advance", json!({ "seconds": 2_678_400 }))
        .value()
}

pub(super) fn set_clock_back() -> Value {
    let example = json!({ "now": 1_763_870_395 });
    Call::new("setClockBack", "Moves the sandbox's time back", "200", Some(("Time", example)))
        .body("Back", json!({ "seconds": 5 }))
        .value()
}

pub(super) fn rotate_push_keys() -> Value {
    let summary = "Makes the keys that sign pushes move on by one: the standby signs, a new one stands by";
    Call::new("rotatePushKeys", summary, "204", None).body("Nothing", json!({})).value()
}

pub(super) fn get_openapi() -> Value {
    json!({
        "operationId": "getOpenApi",
        "summary": "This document",
        "responses": { "200": {
            "description": "OK", "content": { "application/json": { "schema": { "type": "object" } } },
        } },
    })
}
