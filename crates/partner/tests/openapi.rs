//! The document describes the router, and its examples are true.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::collections::{BTreeSet, HashMap};

use common::whatsapp::WhatsApp;
use common::{Answer, Events, send};
use landbridge_partner::{Partner, PartnerConfig};
use serde_json::Value;

const SESSION: &str = "Bearer session-of-alice";

async fn document(partner: &Partner) -> Value {
    send(partner.addr(), "GET /openapi.json", &[], "").await.json()
}

async fn start(whatsapp: &WhatsApp, base_url: &str) -> Partner {
    let base_url = Some(base_url.to_owned());
    whatsapp.partner(PartnerConfig { base_url, ..whatsapp.config() }).await
}

/// Every method of every path is described, and nothing else is.
#[tokio::test]
async fn the_document_and_the_router_agree() {
    let whatsapp = WhatsApp::start().await;
    let partner = start(&whatsapp, "https://foobar.com/whatsapp").await;
    let document = document(&partner).await;
    assert_eq!(document["openapi"], "3.1.0");
    let (mut operations, mut paths) = (BTreeSet::new(), 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        paths += 1;
        let documented: BTreeSet<String> =
            methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        let (_, operation) = methods.as_object().unwrap().iter().next().unwrap();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        // What the router allows on this path; HEAD comes with every GET unless it is described itself.
        let allow = send(partner.addr(), &format!("BREW {}", filled(path, &parameters)), &[], "").await;
        let allowed: BTreeSet<String> = allow
            .header("allow")
            .unwrap_or_else(|| panic!("{path} is not routed"))
            .split(',')
            .map(str::to_owned)
            .filter(|method| method != "HEAD" || documented.contains("HEAD"))
            .collect();
        assert_eq!(documented, allowed, "{path}");
        for operation in methods.as_object().unwrap().values() {
            assert!(operations.insert(operation["operationId"].as_str().unwrap().to_owned()));
            assert_eq!(operation.get("security").is_some(), operation["responses"].get("401").is_some());
        }
    }
    let source = include_str!("../src/routes/mod.rs");
    // One is served by what no route takes.
    assert_eq!(source.matches(".route(").count() + 1, paths, "a route is not described");
}

/// The path with an example in the place of each parameter.
fn filled(path: &str, parameters: &[Value]) -> String {
    let mut filled = path.to_owned();
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
        let name = parameter["name"].as_str().unwrap();
        filled = filled.replace(&format!("{{{name}}}"), parameter["example"].as_str().unwrap());
    }
    let mut query: Vec<String> = Vec::new();
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
        query.push(format!(
            "{}={}",
            parameter["name"].as_str().unwrap(),
            parameter["example"].as_str().unwrap()
        ));
    }
    if query.is_empty() { filled } else { format!("{filled}?{}", query.join("&")) }
}

struct Replay<'a> {
    whatsapp: &'a WhatsApp,
    partner: &'a Partner,
    document: &'a Value,
    /// Parameters that only the server can make up, as it did.
    made: HashMap<String, String>,
}

/// First what makes something, last what takes it away.
fn rank(method: &str, operation: &Value) -> usize {
    let order = ["options", "put", "post", "head", "patch", "get", "delete"];
    let last = operation["operationId"] == "deleteMe";
    order.iter().position(|known| *known == method).unwrap() + usize::from(last)
}

impl Replay<'_> {
    /// Makes the call of the example; the answer has to be as it is described.
    async fn call(&mut self, path: &str, method: &str, operation: &Value) {
        let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in &mut parameters {
            if let Some(made) = self.made.get(parameter["name"].as_str().unwrap()) {
                parameter["example"] = made.as_str().into();
            }
        }
        let path = filled(path, &parameters);
        let described = &operation["responses"];
        if described["200"]["content"].get("text/event-stream").is_some() {
            let (_, query) = path.split_once('?').unwrap();
            Events::open(self.partner.addr(), "session-of-alice", query).await;
            return;
        }
        let bearer = format!("Bearer {}", self.whatsapp.bearer(self.partner));
        let mut headers: Vec<(&str, &str)> = match operation["security"][0].as_object() {
            Some(scheme) if scheme.contains_key("whatsapp") => vec![("Authorization", &bearer)],
            // Two users, so that the second does not find what the first has stored.
            Some(_) if path.starts_with("/v1/uploads") => vec![("Authorization", "Bearer b")],
            Some(_) => vec![("Authorization", SESSION)],
            None => vec![],
        };
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "header") {
            headers.push((parameter["name"].as_str().unwrap(), parameter["example"].as_str().unwrap()));
        }
        let mut body = String::new();
        if let Some((media_type, asked)) =
            operation["requestBody"]["content"].as_object().and_then(|content| content.iter().next())
        {
            headers.push(("Content-Type", media_type));
            body = match asked.get("example") {
                Some(example) => {
                    check(self.document, &asked["schema"], example, &path);
                    example.to_string()
                }
                // The file of the examples.
                None => "\0".repeat(26),
            };
        }
        let answer = send(self.partner.addr(), &format!("{method} {path}"), &headers, &body).await;
        let status = answer.status.to_string();
        assert!(status.starts_with('2'), "{method} {path}: {answer:?}");
        self.check_answer(&path, &described[&status], &answer);
        if let Some((_, id)) = answer.header("location").and_then(|location| location.rsplit_once('/')) {
            self.made.insert("id".to_owned(), id.to_owned());
        }
        if method == "PUT" && answer.status == 201 {
            let reference = answer.json()["storage_reference"].as_str().unwrap().to_owned();
            self.made.insert("storage_reference".to_owned(), reference);
        }
    }

    fn check_answer(&self, path: &str, described: &Value, answer: &Answer) {
        assert!(described.is_object(), "{path}: {answer:?} is not described");
        let Some(content) = described.get("content") else {
            assert_eq!(answer.body, "", "{path}: a body that is not described");
            return;
        };
        let Some(content) = content.get("application/json") else { return };
        check(self.document, &content["schema"], &answer.json(), path);
        if let Some(example) = content.get("example") {
            check(self.document, &content["schema"], example, path);
        }
    }
}

#[tokio::test]
async fn the_examples_are_true() {
    let whatsapp = WhatsApp::start().await;
    let partner = whatsapp.partner(whatsapp.config()).await;
    let document = document(&partner).await;
    let mut calls: Vec<(usize, &str, &str, &Value)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            calls.push((rank(method, operation), path, method, operation));
        }
    }
    calls.sort_by_key(|(rank, ..)| *rank);
    let made = HashMap::new();
    let mut replay = Replay { whatsapp: &whatsapp, partner: &partner, document: &document, made };
    for (_, path, method, operation) in calls {
        replay.call(path, &method.to_uppercase(), operation).await;
    }
    let problem = send(partner.addr(), "GET /nothing", &[], "").await.json();
    check(&document, &document["components"]["schemas"]["Problem"], &problem, "problem");
}

/// Checks the parts of JSON Schema that the document uses.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Err(fault) = conforms(document, schema, value) {
        panic!("{at}: {fault} in {value}");
    }
}

fn conforms(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return conforms(document, document.pointer(reference.trim_start_matches('#')).unwrap(), value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| conforms(document, choice, value).is_ok()).count();
        return if fitting == 1 { Ok(()) } else { Err(format!("{fitting} alternatives fit")) };
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        return Err(format!("is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return Err(format!("is none of {}", schema["enum"]));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let is = |name: &&str| match *name {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        return Err(format!("is not {types:?}"));
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(document, &schema["items"], item)?;
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        members.get(name).ok_or_else(|| format!("{name} is missing"))?;
    }
    for (name, member) in members {
        match schema["properties"].get(name) {
            Some(inner) => conforms(document, inner, member)?,
            None if schema["additionalProperties"] == false => {
                return Err(format!("{name} is not documented"));
            }
            None => {}
        }
    }
    Ok(())
}
