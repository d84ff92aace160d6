//! Partner, sandbox and client as processes of their own, each of them stopped and started again on the way.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::common::{Server, landbridge, stderr, stdout};
use crate::http;

pub(crate) const NUMBER: &str = "14155551001";
const PHONE: &str = "14155551001@s.whatsapp.net";

/// A directory with the three processes' data, on fixed ports so that a restart is found again.
pub(crate) struct World {
    directory: tempfile::TempDir,
    partner_addr: String,
    chat_addr: String,
    http_addr: String,
    media_addr: String,
    partner: Option<Server>,
    sandbox: Option<Server>,
}

/// A port that was free a moment ago.
fn free_addr() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl World {
    pub(crate) fn start() -> Self {
        let mut world = Self {
            directory: tempfile::tempdir().unwrap(),
            partner_addr: free_addr(),
            chat_addr: free_addr(),
            http_addr: free_addr(),
            media_addr: free_addr(),
            partner: None,
            sandbox: None,
        };
        world.start_partner();
        world.start_sandbox();
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn start_partner(&mut self) {
        let args =
            ["partner", "--addr", &self.partner_addr, "--admin-addr", "127.0.0.1:0", "--data", "partner"];
        let args = [
            &args[..],
            &["--dev-user", "session-of-alice=alice", "--insecure-dev-auth", "--integrator", "1"],
        ];
        self.partner = Some(Server::start(self.path(), &args.concat()));
    }

    fn start_sandbox(&mut self) {
        let partner = format!("1=http://{}", self.partner_addr);
        let args = ["sandbox", "--partner", &partner, "--chat", &self.chat_addr, "--http", &self.http_addr];
        let args = [&args[..], &["--media", &self.media_addr]].concat();
        self.sandbox =
            Some(Server::start(self.path(), &[&args[..], &["--data", "sandbox", "--calm"]].concat()));
    }

    fn restart_partner(&mut self) {
        let (status, _) = self.partner.take().unwrap().stop("TERM");
        assert!(status.success(), "the partner ended with {status}");
        self.start_partner();
    }

    fn restart_sandbox(&mut self) {
        let before = self.sandbox.as_ref().unwrap().ready.clone();
        let (status, _) = self.sandbox.take().unwrap().stop("INT");
        assert!(status.success(), "the sandbox ended with {status}");
        self.start_sandbox();
        assert_eq!(self.sandbox.as_ref().unwrap().ready, before, "addresses and root key stay");
    }

    pub(crate) fn sandbox(&self) -> &Server {
        self.sandbox.as_ref().unwrap()
    }

    pub(crate) fn partner(&self) -> &Server {
        self.partner.as_ref().unwrap()
    }

    /// A client command that needs the data directory alone.
    pub(crate) fn client(&self, args: &[&str]) -> Command {
        let mut command = landbridge(self.path());
        command.args(["client", "--data", "client", "--json"]).args(args);
        command
    }

    /// Runs it and gives the lines it printed.
    #[track_caller]
    pub(crate) fn lines(&self, args: &[&str]) -> Vec<Value> {
        let output = self.client(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn ask(&self, args: &[&str]) -> Value {
        let lines = self.lines(args);
        assert_eq!(lines.len(), 1, "{args:?} printed {lines:?}");
        lines[0].clone()
    }

    /// Runs a command that is to fail; the sentence.
    #[track_caller]
    fn fail(&self, args: &[&str]) -> String {
        let output = self.client(args).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!((said.lines().count(), stdout(&output).as_str()), (1, ""), "{args:?}: {said}");
        said
    }

    #[track_caller]
    pub(crate) fn enlist(&self) -> String {
        let sandbox = self.sandbox();
        let token_url = self.partner.as_ref().unwrap().text("token");
        let answer = self.ask(&[
            "enlist",
            "--chat",
            &sandbox.text("chat"),
            "--enlist-url",
            &sandbox.text("enlist"),
            "--root-key",
            &sandbox.text("root_key"),
            "--token-url",
            &token_url,
            "--media-url",
            &sandbox.text("media"),
            "--session",
            "session-of-alice",
            "--identifier",
            "alice",
            "--integrator",
            "1",
        ]);
        answer["login"].as_str().unwrap().to_owned()
    }

    // The control API.

    pub(crate) fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        http::json(method, &format!("{}{path}", self.sandbox().text("control")), body)
    }

    pub(crate) fn make_phone(&self) {
        self.control("POST", "/phones", &json!({ "number": NUMBER, "name": "Joe" }));
    }

    pub(crate) fn phone_sends(&self, to: &str, text: &str) {
        self.control("POST", &format!("/phones/{NUMBER}/messages"), &json!({ "to": to, "text": text }));
    }

    /// The texts that the phone has received.
    fn phone_shows(&self) -> Vec<String> {
        let answer = self.control("GET", &format!("/phones/{NUMBER}/messages"), &Value::Null);
        let messages = answer.as_array().or_else(|| answer["messages"].as_array()).unwrap().clone();
        let received = messages.into_iter().filter(|message| message["direction"] == "in");
        received.map(|message| message["text"].as_str().unwrap().to_owned()).collect()
    }
}

/// The texts among the lines of `listen`.
fn texts(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["text"].as_str().unwrap()).collect()
}

#[test]
fn an_account_lives_through_restarts_of_every_process() {
    let mut world = World::start();
    let login = world.enlist();
    assert!(login.starts_with("1-") && login.ends_with("@interop"), "{login}");
    assert_eq!(world.enlist(), login, "enlisting again changes nothing");

    // Ping, keys: every command is a process of its own, and connects anew.
    assert!(world.ask(&["ping"])["ms"].as_f64().unwrap() > 0.0);
    let keys = world.ask(&["keys"]);
    assert_eq!((&keys["login"], &keys["prekeys_to_upload"]), (&json!(login), &json!(0)));
    assert!(keys["prekeys"].as_u64().unwrap() > 800, "{keys}");
    world.restart_partner();
    world.restart_sandbox();
    assert_eq!(world.ask(&["keys"])["identity"], keys["identity"]);

    // A user that is not there, and one that is.
    assert!(world.fail(&["send", "--to", NUMBER, "--text", "nobody there"]).contains("check the number"));
    world.make_phone();
    let peer = world.ask(&["keys", "--of", &format!("+{NUMBER}")]);
    assert_eq!(peer["identity"].as_str().unwrap().len(), 64, "{peer}");

    // There and back, with restarts in between: the sessions live in the files.
    let sent = world.ask(&["send", "--to", NUMBER, "--text", "grüße 👋 eins", "--wait", "delivered"]);
    assert_eq!((sent["state"].as_str(), sent["to"].as_str()), (Some("delivered"), Some(PHONE)));
    world.phone_sends(&login, "answer one");
    assert_eq!(texts(&world.lines(&["listen", "--count", "1", "--for", "20"])), ["answer one"]);
    world.restart_sandbox();
    world.restart_partner();
    assert_eq!(
        world.ask(&["send", "--to", NUMBER, "--text", "zwei"])["state"].as_str().map(|s| s != "pending"),
        Some(true)
    );
    world.phone_sends(&login, "answer two");
    world.phone_sends(&login, "answer three");
    world.restart_sandbox();
    let heard = world.lines(&["listen", "--count", "2", "--for", "20"]);
    assert_eq!(texts(&heard), ["answer two", "answer three"], "the mailbox outlives the sandbox");
    assert!(heard.iter().all(|line| line["from"] == PHONE && line["kind"] == "text"), "{heard:?}");
    assert_eq!(world.lines(&["listen", "--for", "1"]), Vec::<Value>::new(), "nothing comes twice");
    assert_eq!(world.phone_shows(), ["grüße 👋 eins", "zwei"]);
}

#[test]
fn what_is_done_to_messages_goes_both_ways() {
    let world = World::start();
    let login = world.enlist();
    world.make_phone();
    let phone = |what: &str, body: Value| {
        let answer = world.control("POST", &format!("/phones/{NUMBER}/{what}"), &body);
        answer["id"].as_str().unwrap_or_default().to_owned()
    };
    world.ask(&["send", "--to", NUMBER, "--text", "hello", "--wait", "delivered"]);
    let theirs = phone("messages", json!({ "to": login, "text": "Lunch tomorow?" }));
    let heard = world.ask(&["listen", "--count", "1", "--for", "20"]);
    assert_eq!((&heard["event"], &heard["id"]), (&json!("message"), &json!(theirs)));
    let about = ["--to", NUMBER, "--id", &theirs, "--wait", "delivered"];
    let with = |command: &'static str, more: &[&'static str]| [&[command], &about[..], more].concat();

    let reply = world.ask(&with("reply", &["--text", "Yes, at noom"]));
    assert_eq!(reply["state"], "delivered");
    let reply = reply["id"].as_str().unwrap().to_owned();
    world.ask(&with("react", &["--emoji", "👍"]));
    let ours = ["--to", NUMBER, "--id", &reply, "--wait", "delivered"];
    world.ask(&[&["edit"], &ours[..], &["--text", "Yes, at noon"]].concat());
    let shown = world.ask(&["show", "--to", NUMBER, "--id", &reply]);
    assert_eq!((&shown["text"], &shown["author"]), (&json!("Yes, at noon"), &json!("own")));
    assert_eq!(
        (&shown["quoted"]["id"], &shown["quoted"]["text"]),
        (&json!(theirs), &json!("Lunch tomorow?"))
    );
    let shown = world.ask(&["show", "--to", NUMBER, "--id", &theirs]);
    assert_eq!(shown["reactions"], json!([{ "from": "own", "emoji": "👍" }]));
    world.ask(&with("unreact", &[]));
    assert_eq!(world.ask(&["show", "--to", NUMBER, "--id", &theirs])["reactions"], json!([]));
    assert_eq!(world.ask(&["read", "--to", NUMBER, &theirs])["receipt"], "read");
    assert_eq!(world.ask(&["typing", "--to", NUMBER, "--for", "1"])["seconds"], 1);
    world.ask(&[&["revoke"], &ours[..]].concat());
    assert_eq!(world.ask(&["show", "--to", NUMBER, "--id", &reply])["body"], "revoked");
    assert!(world.fail(&with("revoke", &[])).contains("only its author"));

    // What the phone does comes as events of its own.
    let acts = [
        ("edit", "edited", json!({ "peer": login, "id": theirs, "text": "Lunch tomorrow?" })),
        ("react", "reaction", json!({ "peer": login, "id": theirs, "emoji": "🎉" })),
        ("revoke", "revoked", json!({ "peer": login, "id": theirs })),
    ];
    for (act, event, body) in acts {
        phone(act, body);
        let heard = world.ask(&["listen", "--count", "1", "--for", "20"]);
        assert_eq!((&heard["event"], &heard["from"]), (&json!(event), &json!(PHONE)));
        assert_eq!(heard["target"], json!(theirs));
        match act {
            "edit" => assert_eq!(heard["text"], "Lunch tomorrow?"),
            "react" => assert_eq!((&heard["emoji"], &heard["target_author"]), (&json!("🎉"), &json!(PHONE))),
            _ => {}
        }
    }
    assert_eq!(world.lines(&["listen", "--for", "1"]), Vec::<Value>::new(), "nothing comes twice");
}

#[test]
fn a_blocked_user_is_not_heard_and_a_deleted_account_is_gone() {
    let mut world = World::start();
    let login = world.enlist();
    world.make_phone();
    assert_eq!(world.ask(&["blocklist"]), json!({ "blocked": [] }));
    world.ask(&["send", "--to", NUMBER, "--text", "hello", "--wait", "delivered"]);

    world.ask(&["block", NUMBER]);
    world.restart_sandbox();
    assert_eq!(world.ask(&["blocklist"]), json!({ "blocked": [PHONE] }));
    world.phone_sends(&login, "while blocked");
    assert_eq!(world.lines(&["listen", "--for", "1"]), Vec::<Value>::new());
    world.ask(&["unblock", PHONE]);
    assert_eq!(world.ask(&["blocklist"]), json!({ "blocked": [] }));
    world.phone_sends(&login, "after it");
    assert_eq!(texts(&world.lines(&["listen", "--count", "1", "--for", "20"])), ["after it"]);

    assert_eq!(world.ask(&["delete"]), json!({ "deleted": true }));
    assert!(world.fail(&["ping"]).contains("client enlist"));
    // The settings are remembered: enlisting anew needs no flags, and gives another address.
    let anew = world.ask(&["enlist"])["login"].as_str().unwrap().to_owned();
    assert_ne!(anew, login);
    assert!(world.ask(&["ping"])["ms"].is_number());
}

#[test]
fn a_verified_user_with_a_new_phone_is_written_to_after_one_command() {
    let world = World::start();
    world.enlist();
    world.make_phone();
    world.ask(&["send", "--to", NUMBER, "--text", "hello", "--wait", "delivered"]);
    let number = world.ask(&["safety-number", NUMBER]);
    let digits = number["digits"].as_str().unwrap().to_owned();
    assert_eq!((digits.len(), &number["verified"], &number["held"]), (60, &json!(false), &json!(false)));
    assert_eq!(number["scannable"].as_str().unwrap().len(), 148);

    // What is no number, and what is another one.
    let usage = world.client(&["verify", NUMBER, "--digits", "123"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2), "{}", stderr(&usage));
    let other: String = digits.chars().rev().collect();
    assert!(world.fail(&["verify", NUMBER, "--digits", &other]).contains("not the number"));
    let own = number["scannable"].as_str().unwrap();
    assert!(world.fail(&["verify", NUMBER, "--scanned", own]).contains("not the number"));
    let spaced: Vec<String> =
        digits.as_bytes().chunks(5).map(|five| String::from_utf8_lossy(five).into()).collect();
    assert_eq!(
        world.ask(&["verify", NUMBER, "--digits", &spaced.join(" ")]),
        json!({ "user": PHONE, "verified": true })
    );
    assert_eq!(world.ask(&["safety-number", NUMBER])["verified"], json!(true));

    world.control("POST", &format!("/phones/{NUMBER}/reinstall"), &json!({}));
    assert_eq!(world.lines(&["listen", "--for", "2"]), Vec::<Value>::new());
    let said = world.fail(&["send", "--to", NUMBER, "--text", "for the old phone", "--timeout", "1"]);
    assert!(said.contains("is stored and pending"), "{said}");
    let number = world.ask(&["safety-number", NUMBER]);
    assert_ne!(number["digits"].as_str().unwrap(), digits);
    assert_eq!((&number["was_verified"], &number["held"]), (&json!(true), &json!(true)));
    assert_eq!(world.ask(&["accept", NUMBER]), json!({ "user": PHONE, "held": false }));
    world.ask(&["send", "--to", NUMBER, "--text", "for the new one", "--wait", "delivered"]);
    assert_eq!(world.phone_shows(), ["hello", "for the old phone", "for the new one"]);
    world.ask(&["verify", NUMBER, "--digits", number["digits"].as_str().unwrap()]);
    world.ask(&["unverify", NUMBER]);
    let trust = world.ask(&["safety-number", NUMBER]);
    assert_eq!((&trust["verified"], &trust["was_verified"]), (&json!(false), &json!(false)));

    let keys = world.ask(&["keys"]);
    let (stored, left) = (keys["prekeys"].as_u64().unwrap(), keys["prekeys_at_server"].as_u64().unwrap());
    assert!(left <= stored && left > 800, "{keys}");
}

/// Starts `listen` and waits until it is connected, which the trace tells.
fn listening(world: &World) -> (std::process::Child, BufReader<ChildStdout>) {
    let mut child =
        world.client(&["listen", "--trace"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut trace = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(
        trace.any(|line| line.unwrap().contains("<offline")),
        "listen ended before its mailbox was empty"
    );
    // The rest has to be read, or the child would wait for a reader.
    std::thread::spawn(move || trace.for_each(drop));
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

#[test]
fn one_process_has_the_account_and_signals_end_it_in_order() {
    let world = World::start();
    let login = world.enlist();
    world.make_phone();
    world.ask(&["send", "--to", NUMBER, "--text", "hello", "--wait", "delivered"]);
    for signal in ["-INT", "-TERM"] {
        let (mut child, mut lines) = listening(&world);
        assert!(world.fail(&["ping"]).contains("in use by another process"));
        world.phone_sends(&login, signal);
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["text"], signal);
        assert!(Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "after {signal}");
        assert_eq!(world.lines(&["listen", "--for", "1"]), Vec::<Value>::new(), "what was printed was taken");
    }
}

#[test]
fn what_is_wrong_outside_is_said_with_what_to_do() {
    let mut world = World::start();
    world.enlist();
    // A session that the partner does not know.
    assert!(world.fail(&["ping", "--session", "somebody-else"]).contains("give a --session"));
    // A server that is not the one whose root is pinned.
    let other_root = "11".repeat(32);
    let said = world.fail(&["ping", "--root-key", &other_root]);
    assert!(said.contains("handshake"), "{said}");
    // Nobody there.
    let nobody = free_addr();
    assert!(world.fail(&["ping", "--chat", &nobody]).contains("check the addresses"));
    // None of this was remembered.
    world.ask(&["ping"]);
    // Neither server runs: still one sentence each.
    drop(world.partner.take());
    let said = world.fail(&["ping"]);
    assert!(said.contains("partner's server was not reached"), "{said}");
}

#[test]
fn an_account_moves_to_another_directory_and_each_message_is_explained() {
    let world = World::start();
    let login = world.enlist();
    world.make_phone();
    let sent = world.ask(&["send", "--to", NUMBER, "--text", "from the old one", "--wait", "delivered"]);
    let id = sent["id"].as_str().unwrap();
    let explain = |data: &str, id: &str| {
        landbridge(world.path()).args(["explain", id, "--data", data, "--json"]).output().unwrap()
    };
    let told = explain("client", id);
    assert!(told.status.success(), "{}", stderr(&told));
    assert!(!stdout(&told).contains("from the old one"));
    let told: Value = serde_json::from_str(&stdout(&told)).unwrap();
    assert_eq!((&told["standing"], &told["details"]["state"]), (&json!("sent"), &json!("delivered")));
    let steps: Vec<_> =
        told["trail"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert!(["queued", "written", "acked", "moved"].iter().all(|step| steps.contains(step)), "{steps:?}");
    let output = explain("client", "3EB0FFFF");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nothing is known of message"), "{}", stderr(&output));

    std::fs::write(world.path().join("pass"), "correct horse\n").unwrap();
    std::fs::write(world.path().join("other"), "battery staple\n").unwrap();
    assert_eq!(
        world.ask(&["export", "account", "--passphrase-file", "pass"]),
        json!({ "exported": "account" })
    );
    let said = world.fail(&["ping"]);
    assert!(said.contains("handed over to another device") && said.contains("take-back"), "{said}");
    assert!(world.fail(&["export", "again", "--passphrase-file", "pass"]).contains("handed over"));
    assert!(!world.path().join("again").exists());

    let settings: Vec<String> = std::fs::read_to_string(world.path().join("client/client.toml"))
        .map(|text| text.lines().map(str::to_owned).collect())
        .unwrap();
    let new = |args: &[&str]| {
        let output =
            landbridge(world.path()).args(["client", "--data", "new", "--json"]).args(args).output().unwrap();
        (output.status.code(), stdout(&output), stderr(&output))
    };
    let wrong = new(&["import", "account", "--passphrase-file", "other"]);
    assert_eq!(wrong.0, Some(1));
    assert!(wrong.2.contains("check the passphrase"), "{}", wrong.2);
    let (code, out, said) = new(&["import", "account", "--passphrase-file", "pass"]);
    assert_eq!((code, out.trim()), (Some(0), json!({ "imported": login }).to_string().as_str()), "{said}");
    std::fs::write(world.path().join("new/client.toml"), settings.join("\n")).unwrap();
    let (code, out, said) =
        new(&["send", "--to", NUMBER, "--text", "from the new one", "--wait", "delivered"]);
    assert_eq!(code, Some(0), "{out}{said}");
    assert_eq!(world.phone_shows(), ["from the old one", "from the new one"]);
    assert!(explain("new", id).status.success(), "the trail has moved as well");

    assert_eq!(world.ask(&["take-back"]), json!({ "taken_back": true }));
    world.ask(&["send", "--to", NUMBER, "--text", "back again", "--wait", "delivered"]);
    assert_eq!(world.phone_shows().last().unwrap(), "back again");
}
