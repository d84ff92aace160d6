//! Files both ways, with the client, the partner's server and the sandbox as processes of their own.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::common::stderr;
use crate::end_to_end::{NUMBER, World};
use crate::http;

fn bytes(count: u32) -> Vec<u8> {
    (0..count)
        .map(|n| n.to_le_bytes().into_iter().fold(7_u8, |sum, byte| sum.wrapping_mul(31) ^ byte))
        .collect()
}

fn hash(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

/// Lets the phone fetch what it was sent.
fn phone_fetches(world: &World, peer: &str, id: &Value) -> Value {
    world.control("POST", &format!("/phones/{NUMBER}/files/fetch"), &json!({ "peer": peer, "id": id }))
}

fn phone_sends(world: &World, to: &str, kind: &str, mimetype: &str, data: &[u8]) {
    let data = BASE64_STANDARD.encode(data);
    let body =
        json!({ "to": to, "kind": kind, "mimetype": mimetype, "data": data, "caption": "the harbour" });
    world.control("POST", &format!("/phones/{NUMBER}/files"), &body);
}

#[test]
fn files_are_sent_through_the_partner_and_fetched_by_the_phone() {
    let world = World::start();
    let login = world.enlist();
    world.make_phone();
    // In one request, and in pieces.
    for (name, count, more, kind) in [
        ("small.jpg", 1000, &["--caption", "grüße"][..], "image"),
        ("large.dat", 3_000_000, &[], "document"),
        ("note.dat", 5000, &["--kind", "voice", "--mimetype", "audio/ogg; codecs=opus"], "ptt"),
    ] {
        let plain = bytes(count);
        fs::write(world.path().join(name), &plain).unwrap();
        let args = ["send", "--to", NUMBER, "--file", name, "--wait", "delivered"];
        let sent = world.ask(&[&args[..], more].concat());
        assert_eq!((&sent["state"], &sent["kind"]), (&json!("delivered"), &json!(kind)));
        assert_eq!((&sent["file_length"], &sent["file_sha256"]), (&json!(count), &json!(hash(&plain))));
        assert_eq!(sent["encrypted_length"], json!((count / 16 + 1) * 16 + 10));
        assert_ne!(sent["file_enc_sha256"], sent["file_sha256"]);
        let fetched = phone_fetches(&world, &login, &sent["id"]);
        assert_eq!((&fetched["kind"], &fetched["file_sha256"]), (&json!(kind), &sent["file_sha256"]));
        assert_eq!(fetched["file_length"], json!(count));
        match kind {
            "image" => assert_eq!(fetched["caption"], "grüße"),
            "document" => assert_eq!(fetched["file_name"], name),
            _ => assert_eq!(fetched["mimetype"], "audio/ogg; codecs=opus"),
        }
    }
}

#[test]
fn files_of_a_phone_are_saved_beside_what_is_there() {
    let world = World::start();
    let login = world.enlist();
    world.make_phone();
    world.ask(&["send", "--to", NUMBER, "--text", "hello", "--wait", "delivered"]);
    let plain = bytes(700_000);
    phone_sends(&world, &login, "image", "image/jpeg", &plain);
    phone_sends(&world, &login, "document", "text/../../x", &plain[..10]);
    let heard = world.lines(&["listen", "--count", "2", "--for", "20", "--save", "saved"]);
    let events: Vec<_> = heard.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["message", "file", "message", "file"], "{heard:?}");
    assert_eq!((&heard[0]["kind"], &heard[0]["id"]), (&json!("image"), &heard[1]["id"]));
    for (line, plain, ending) in [(&heard[1], &plain[..], "jpg"), (&heard[3], &plain[..10], "bin")] {
        assert_eq!((&line["outcome"], &line["file_sha256"]), (&json!("saved"), &json!(hash(plain))));
        let path = PathBuf::from(line["path"].as_str().unwrap());
        assert_eq!(path.parent().unwrap().to_str(), Some("saved"));
        assert_eq!(path.extension().unwrap().to_str(), Some(ending));
        assert_eq!(fs::read(world.path().join(path)).unwrap(), plain);
    }
    assert_eq!(fs::read_dir(world.path().join("saved")).unwrap().count(), 2);
    assert_eq!(world.lines(&["listen", "--for", "1", "--save", "saved"]), Vec::<Value>::new());
}

#[test]
fn a_file_that_is_not_to_be_had_is_told_and_listening_goes_on() {
    let world = World::start();
    let login = world.enlist();
    world.make_phone();
    world.ask(&["send", "--to", NUMBER, "--text", "hello", "--wait", "delivered"]);
    phone_sends(&world, &login, "image", "image/jpeg", &bytes(1000));
    world.phone_sends(&login, "did you get it?");
    // The sandbox's other server has no files.
    let elsewhere = world.sandbox().text("control");
    let heard =
        world.lines(&["listen", "--count", "2", "--for", "20", "--save", "saved", "--media-url", &elsewhere]);
    assert_eq!((&heard[1]["event"], &heard[1]["outcome"]), (&json!("file"), &json!("gone")), "{heard:?}");
    assert!(heard[1]["error"].as_str().unwrap().contains("no longer there"), "{heard:?}");
    assert_eq!(heard[2]["text"], "did you get it?");
    assert_eq!(fs::read_dir(world.path().join("saved")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is() {
    let world = World::start();
    world.enlist();
    world.make_phone();
    let send = |more: &[&str]| {
        let output = world.client(&[&["send", "--to", NUMBER], more].concat()).output().unwrap();
        (output.status.code(), stderr(&output))
    };
    for (args, code, part) in [
        (&["--file", "none.jpg"][..], 1, "none.jpg cannot be read"),
        (&["--file", "."], 1, ". cannot be read"),
        (&[], 2, "--text"),
        (&["--text", "hi", "--file", "x"], 2, "--file"),
        (&["--text", "hi", "--caption", "x"], 2, "--caption"),
        (&["--file", "x", "--kind", "hologram"], 2, "hologram"),
    ] {
        let (got, said) = send(args);
        assert_eq!(got, Some(code), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
    }
    // A server that takes no files.
    fs::write(world.path().join("a.jpg"), bytes(100)).unwrap();
    let url = world.partner().text("token").replace("/v1/token", "/elsewhere");
    let (code, said) = send(&["--file", "a.jpg", "--upload-url", &url]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("landbridge: ") && said.lines().count() == 1, "{said}");
    let shown = http::json(
        "GET",
        &format!("{}/phones/{NUMBER}/messages", world.sandbox().text("control")),
        &Value::Null,
    );
    assert!(!shown.to_string().contains("\"in\""), "{shown}");
}
