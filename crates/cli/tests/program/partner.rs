//! `landbridge partner` as a process: ready line, HTTP, restart, signals.

use std::net::TcpListener;

use crate::common::{Server, landbridge, run, stderr};
use crate::http::exchange;

/// The key ids in a key set, as they stand there.
fn key_ids(jwks: &str) -> Vec<String> {
    jwks.split("\"kid\":\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn keys_survive_a_restart_and_signals_end_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let args = [
        "partner",
        "--addr",
        "127.0.0.1:0",
        "--dev-user",
        "session-of-alice=alice",
        "--insecure-dev-auth",
        "--data",
        "partner",
    ];
    let mut seen = Vec::new();
    for signal in ["TERM", "INT"] {
        let server = Server::start(directory.path(), &args);
        assert_eq!(server.ready["ready"], true);
        let (status, jwks) = exchange("GET", &server.text("jwks"), "", "");
        assert_eq!(status, 200, "{jwks}");
        seen.push(key_ids(&jwks));
        let (status, token) =
            exchange("POST", &server.text("token"), "authorization: Bearer session-of-alice\r\n", "");
        assert!(status == 200 && token.contains("\"identifier\":\"alice\""), "{token}");
        let (status, refused) =
            exchange("POST", &server.text("token"), "authorization: Bearer somebody-else\r\n", "");
        assert_eq!(status, 401, "{refused}");
        let (status, rest) = server.stop(signal);
        assert_eq!(status.code(), Some(0), "after SIG{signal}");
        assert_eq!(rest, "", "exactly one line on standard output");
    }
    assert!(seen[0].len() >= 2 && seen[0] == seen[1], "the keys changed: {seen:?}");
}

#[test]
fn keys_can_be_made_beforehand() {
    let directory = tempfile::tempdir().unwrap();
    let keys = || {
        let output = run(directory.path(), &["partner", "keys", "--data", "partner"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let made = keys();
    assert_eq!(
        made.lines().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["active", "standby"]
    );
    assert_eq!(keys(), made, "keys that are there stay");
    let args = ["partner", "--addr", "127.0.0.1:0", "--insecure-dev-auth", "--data", "partner"];
    let server = Server::start(directory.path(), &args);
    let (_, jwks) = exchange("GET", &server.text("jwks"), "", "");
    let names = key_ids(&jwks);
    assert!(names.len() == 2 && names.iter().all(|name| made.contains(name)), "{made}{jwks}");
    assert_eq!(server.stop("TERM").0.code(), Some(0));
}

#[test]
fn a_taken_address_is_a_runtime_failure_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = run(
        directory.path(),
        &["partner", "--addr", &addr, "--admin-addr", "127.0.0.1:0", "--insecure-dev-auth", "--log", "error"],
    );
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("cannot listen on") && said.contains("choose another address"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_hangup_is_no_end() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["partner", "--addr", "127.0.0.1:0", "--insecure-dev-auth", "--data", "partner"];
    let server = Server::start(directory.path(), &args);
    for _ in 0..2 {
        server.signal("HUP");
        assert_eq!(exchange("GET", &server.text("jwks"), "", "").0, 200);
    }
    let other = run(
        directory.path(),
        &["partner", "--addr", "127.0.0.1:0", "--insecure-dev-auth", "--data", "partner"],
    );
    let said = stderr(&other);
    assert!(said.contains("in use by another server") && !said.contains("remove"), "{said}");
    assert_eq!(server.stop("TERM").0.code(), Some(0));
}

#[test]
fn settings_may_come_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = "[partner]\naddr = \"127.0.0.1:0\"\nbase_url = \"https://partner.example/interop\"\ninsecure_dev_auth = true\n\
                [partner.dev_users]\nsecret = \"alice\"\n";
    std::fs::write(directory.path().join("partner.toml"), file).unwrap();
    let server = Server::start(directory.path(), &["--config", "partner.toml", "partner"]);
    assert_eq!(server.text("base_url"), "https://partner.example/interop");
    assert_eq!(server.text("token"), "https://partner.example/v1/token");
    assert_eq!(server.stop("TERM").0.code(), Some(0));
    // The same, told by the environment.
    let output = landbridge(directory.path())
        .args(["partner", "--addr", "127.0.0.1:0"])
        .env("LANDBRIDGE_CONFIG", "partner.toml")
        .env("LANDBRIDGE_PARTNER_BASE_URL", "nonsense")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "the environment wins over the file: {}", stderr(&output));
}
