//! The control API over real sockets, and its document against what it says.

mod files;
mod pushes;
mod schema;

use std::time::Duration;

use landbridge_enlist::UserIdentifier;
use landbridge_transport::HttpClient;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::openapi;
use crate::{Clock, EnlistKeys, Sandbox, SandboxConfig};

const JOE: &str = "14155551001";
const ANN: &str = "31612345678";

struct World {
    sandbox: Sandbox,
    client: HttpClient,
    document: Value,
}

/// An answer: status, media type, body.
struct Answer {
    status: u16,
    media_type: String,
    body: Value,
}

impl World {
    async fn new() -> Self {
        let config = SandboxConfig { clock: Clock::manual(1_800_000_000), ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config.partner(1, "http://127.0.0.1:9")).await.unwrap();
        let client = HttpClient::builder().build().unwrap();
        Self { sandbox, client, document: openapi::build() }
    }

    /// With two phones.
    async fn with_phones() -> Self {
        let world = Self::new().await;
        for (number, name) in [(JOE, "Joe"), (ANN, "Ann")] {
            world.post("/phones", &json!({ "number": number, "name": name })).await;
        }
        world
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.control_url())
    }

    async fn get(&self, path: &str) -> Answer {
        let answer = self.client.get(&self.url(path), &[]).await.unwrap();
        self.checked("get", path, answer)
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_as(path, &body.to_string(), "application/json").await
    }

    async fn post_as(&self, path: &str, body: &str, media_type: &str) -> Answer {
        let answer = self.client.post(&self.url(path), media_type, body.to_owned(), &[]).await.unwrap();
        self.checked("post", path, answer)
    }

    /// Every answer is one that the document knows, and has its schema.
    fn checked(
        &self,
        method: &str,
        path: &str,
        answer: landbridge_transport::http_client::Response,
    ) -> Answer {
        let status = answer.status.as_u16();
        let media_type = answer.header("content-type").unwrap_or_default().to_owned();
        let body = match answer.body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&answer.body).unwrap(),
        };
        if let Some(operation) = self.operation(method, path) {
            let known = &operation["responses"][status.to_string()];
            assert!(
                !known.is_null(),
                "{method} {path} answered {status}, which the document does not know: {body}"
            );
            let known = schema::resolve(&self.document, known);
            match known.get("content") {
                Some(content) => {
                    let content = &content[media_type.as_str()];
                    assert!(!content.is_null(), "{method} {path} answered with {media_type}");
                    schema::check(&self.document, &content["schema"], &body, path);
                }
                None => assert_eq!(body, Value::Null),
            }
        }
        Answer { status, media_type, body }
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let path = path.split('?').next().unwrap();
        let fits = |template: &str| {
            let (template, path): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            template.len() == path.len()
                && template.iter().zip(&path).all(|(part, given)| part.starts_with('{') || part == given)
        };
        let paths = self.document["paths"].as_object().unwrap();
        let found = paths.iter().find(|(template, _)| fits(template.strip_prefix(super::PATH).unwrap()));
        found.and_then(|(_, item)| item.get(method))
    }

    /// Enlists a user of the partner, who never connects.
    fn enlist(&self, identifier: &str) -> String {
        let mut rng = rand::rng();
        let identity = landbridge_signal::IdentityKeyPair::generate(&mut rng);
        let id = landbridge_signal::SignedPreKeyId::new(1).unwrap();
        let signed = landbridge_signal::SignedPreKey::generate(id, &identity, &mut rng);
        let keys = EnlistKeys {
            authkey: *landbridge_curve::PrivateKey::generate(&mut rng).public().as_bytes(),
            registration: 4711,
            identity: *identity.public().as_bytes(),
            signed_prekey: landbridge_stanza::keys::SignedPreKey {
                id: 1,
                value: *signed.key.public().as_bytes(),
                signature: signed.signature,
            },
        };
        let identifier: UserIdentifier = identifier.parse().unwrap();
        self.sandbox
            .handle()
            .enlist_user(landbridge_enlist::IntegratorId::new(1).unwrap(), &identifier, &keys)
            .unwrap()
            .login
            .to_string()
    }

    /// The messages of a phone once `done` holds for them.
    async fn messages_when(&self, number: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut after = 0;
        loop {
            let all = self.get(&format!("/phones/{number}/messages")).await.body;
            let messages = all["messages"].as_array().unwrap();
            if done(messages) {
                return messages.clone();
            }
            after = all["change"].as_u64().unwrap().max(after);
            self.get(&format!("/phones/{number}/messages?wait=30&after={after}")).await;
        }
    }
}

fn problem(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.media_type, "application/problem+json", "{}", answer.status);
    assert_eq!(answer.body["status"], answer.status);
    (answer.status, answer.body["type"].as_str().unwrap().rsplit('/').next().unwrap())
}

#[tokio::test]
async fn phones_are_made_once_and_listed() {
    let world = World::new().await;
    let new = json!({ "number": JOE, "name": "Joe" });
    let made = world.post("/phones", &new).await;
    assert_eq!((made.status, &made.body["jid"]), (201, &json!("14155551001@s.whatsapp.net")));
    let again = world.post("/phones", &json!({ "number": "+14155551001", "name": "Other" })).await;
    assert_eq!((again.status, &again.body["name"]), (200, &json!("Joe")));
    assert_eq!(again.body["identity"], made.body["identity"]);
    assert_eq!(world.get("/phones").await.body["phones"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/phones/14155551001").await.body["number"], json!(JOE));
    let nameless = world.post("/phones", &json!({ "number": ANN })).await;
    assert_eq!(nameless.body["name"], json!(ANN));
    let users = world.get("/users").await.body;
    assert_eq!(users["users"][0]["prekeys"], json!(100));
    assert_eq!(users["users"][0]["connected"], json!(true));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_conversation_of_two_phones() {
    let world = World::with_phones().await;
    let sent = world.post("/phones/14155551001/messages", &json!({ "to": ANN, "text": "Grüße 🐍" })).await;
    assert_eq!(sent.status, 202);
    let id = sent.body["id"].as_str().unwrap().to_owned();
    let seen = world.messages_when(ANN, |messages| !messages.is_empty()).await;
    assert_eq!((&seen[0]["text"], &seen[0]["notify"]), (&json!("Grüße 🐍"), &json!("Joe")));
    assert_eq!((&seen[0]["direction"], &seen[0]["state"]), (&json!("in"), &json!("shown")));
    world.messages_when(JOE, |messages| messages[0]["state"] == "delivered").await;

    assert_eq!(world.get("/phones/31612345678").await.body["unread"], json!(1));
    let read = world.post("/phones/31612345678/read", &json!({ "peer": JOE })).await;
    assert_eq!(read.body["ids"], json!([id]));
    let sent = world.messages_when(JOE, |messages| messages[0]["state"] == "read").await;
    assert_eq!(sent[0]["direction"], json!("out"));
    assert_eq!(world.get("/phones/31612345678").await.body["unread"], json!(0));

    world
        .post("/phones/31612345678/messages", &json!({ "to": "14155551001@s.whatsapp.net", "text": "Hi" }))
        .await;
    let seen = world.messages_when(JOE, |messages| messages.len() == 2).await;
    let one = world.post("/phones/14155551001/read", &json!({ "peer": ANN, "id": seen[1]["id"] })).await;
    assert_eq!(one.status, 200);
    let quiet = world.get("/journal").await.body;
    let broken = quiet["events"].as_array().unwrap().iter().filter(|event| event["event"] == "broken");
    assert_eq!(broken.count(), 0);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_partners_user_is_written_to_by_identifier_and_address() {
    let world = World::with_phones().await;
    let login = world.enlist("alice");
    for to in ["alice", &login] {
        let sent = world.post("/phones/14155551001/messages", &json!({ "to": to, "text": "Hi" })).await;
        assert_eq!(sent.status, 202);
    }
    let sent = world.get("/phones/14155551001/messages").await.body;
    assert!(sent["messages"].as_array().unwrap().iter().all(|m| m["state"] == "sent" && m["peer"] == *login));
    let users = world.get("/users").await.body;
    let alice = users["users"].as_array().unwrap().iter().find(|user| user["identifier"] == "alice").unwrap();
    // Two messages, and the word that no one-time prekeys are left.
    assert_eq!((&alice["mailbox"], &alice["connected"]), (&json!(3), &json!(false)));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_poll_waits_for_a_change_and_not_longer() {
    let world = World::with_phones().await;
    let path = "/phones/31612345678/messages?wait=60&after=0";
    let (polled, sent) = tokio::join!(world.get(path), async {
        world.post("/phones/14155551001/messages", &json!({ "to": ANN, "text": "wake up" })).await
    });
    assert_eq!(polled.body["messages"][0]["id"], sent.body["id"]);
    let change = polled.body["change"].as_u64().unwrap();
    let empty = world.get(&format!("/phones/31612345678/messages?wait=1&after={change}")).await;
    assert_eq!(
        (empty.body["messages"].as_array().unwrap().len(), &empty.body["change"]),
        (0, &json!(change))
    );
    // The end of the sandbox ends the wait, too.
    let target = format!("/control/phones/31612345678/messages?wait=60&after={change}");
    let mut socket = TcpStream::connect(world.sandbox.http_addr()).await.unwrap();
    // Two requests on one connection: the first is answered when the server reads, and the second is read with it.
    let pipelined = format!(
        "GET /healthz HTTP/1.1\r\nHost: s\r\n\r\nGET {target} HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(pipelined.as_bytes()).await.unwrap();
    let mut reader = BufReader::new(socket);
    let mut first = String::new();
    reader.read_line(&mut first).await.unwrap();
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    let ended = tokio::time::timeout(Duration::from_secs(20), world.sandbox.shutdown()).await;
    assert!(ended.is_ok(), "it does not wait for the poll");
}

#[tokio::test]
async fn blocking_and_unblocking() {
    let world = World::with_phones().await;
    assert_eq!(world.post("/phones/31612345678/block", &json!({ "peer": JOE })).await.status, 204);
    let blocked = world.get("/phones/31612345678").await.body["blocked"].clone();
    assert_eq!(blocked, json!(["14155551001@s.whatsapp.net"]));
    world.post("/phones/14155551001/messages", &json!({ "to": ANN, "text": "unheard" })).await;
    assert_eq!(world.post("/phones/31612345678/unblock", &json!({ "peer": JOE })).await.status, 204);
    world.post("/phones/14155551001/messages", &json!({ "to": ANN, "text": "heard" })).await;
    let seen = world.messages_when(ANN, |messages| !messages.is_empty()).await;
    assert_eq!((seen.len(), &seen[0]["text"]), (1, &json!("heard")));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn phones_can_be_told_everything_over_the_api() {
    let world = World::with_phones().await;
    let joe = |call: &str| format!("/phones/{JOE}/{call}");
    let ann = |call: &str| format!("/phones/{ANN}/{call}");
    let sent = world.post(&joe("messages"), &json!({ "to": ANN, "text": "Lunch?" })).await.body;
    let about = |text: Value| json!({ "peer": JOE, "id": sent["id"], "text": text });
    let mine = |body: Value| {
        let mut all = json!({ "peer": ANN, "id": sent["id"] });
        all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        all
    };
    world.messages_when(ANN, |messages| !messages.is_empty()).await;
    assert_eq!(world.post(&ann("type"), &json!({ "peer": JOE, "state": "composing" })).await.status, 204);
    assert_eq!(world.post(&ann("reply"), &about(json!("Yes"))).await.status, 202);
    let react = json!({ "peer": JOE, "id": sent["id"], "emoji": "👍" });
    assert_eq!(world.post(&ann("react"), &react).await.status, 202);
    let played = world.post(&ann("played"), &json!({ "peer": JOE, "id": sent["id"] })).await.body;
    assert_eq!(played["ids"], json!([sent["id"]]));
    assert_eq!(world.post(&joe("edit"), &mine(json!({ "text": "Dinner?" }))).await.status, 202);
    let shown = world.messages_when(ANN, |messages| messages[0]["edited_ms"].is_i64()).await;
    assert_eq!(
        (&shown[0]["text"], &shown[0]["reactions"]["out"]["emoji"]),
        (&json!("Dinner?"), &json!("👍"))
    );
    assert_eq!(world.post(&joe("revoke"), &mine(json!({}))).await.status, 202);
    let shown = world.messages_when(ANN, |messages| messages[0]["revoked"] == true).await;
    assert_eq!(shown[0]["text"], Value::Null);
    let state = world.messages_when(JOE, |messages| messages[0]["state"] == "played").await;
    assert_eq!(state[0]["reactions"]["in"]["emoji"], json!("👍"));

    assert_eq!(world.post(&ann("ask-again"), &json!({ "peer": JOE, "id": sent["id"] })).await.status, 204);
    assert_eq!(world.post(&ann("lose-session"), &json!({ "peer": JOE })).await.status, 204);
    for what in ["ciphertext", "padding", "protobuf", "content"] {
        assert_eq!(world.post(&joe("garbage"), &json!({ "to": ANN, "what": what })).await.status, 202);
    }
    let before = world.get(&format!("/phones/{ANN}")).await.body;
    let after = world.post(&ann("reinstall"), &json!({})).await.body;
    assert_ne!(before["identity"], after["identity"]);
    assert_eq!(world.post(&ann("offline"), &json!({})).await.body["online"], json!(false));
    assert_eq!(world.post(&ann("online"), &json!({})).await.body["online"], json!(true));
    assert_eq!(delete(&world, &format!("/phones/{ANN}")).await, 204);
    assert_eq!(delete(&world, &format!("/phones/{ANN}")).await, 404);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn held_messages_come_in_another_order_and_open_all_the_same() {
    let world = World::with_phones().await;
    assert_eq!(world.post("/holds", &json!({ "to": ANN, "count": 4, "seed": 7 })).await.status, 204);
    for n in 0..4 {
        world.post("/phones/14155551001/messages", &json!({ "to": ANN, "text": n.to_string() })).await;
    }
    let seen = world.messages_when(ANN, |messages| messages.len() == 4).await;
    let mut texts: Vec<_> = seen.iter().map(|message| message["text"].as_str().unwrap()).collect();
    assert_ne!(texts, ["0", "1", "2", "3"]);
    texts.sort_unstable();
    assert_eq!(texts, ["0", "1", "2", "3"]);
    world.post("/holds", &json!({ "to": ANN, "count": 9 })).await;
    world.post("/phones/14155551001/messages", &json!({ "to": ANN, "text": "held" })).await;
    assert_eq!(world.post("/holds/release", &json!({ "to": ANN })).await.status, 204);
    world.messages_when(ANN, |messages| messages.len() == 5).await;
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn the_journal_comes_in_pages_and_as_a_stream() {
    let world = World::with_phones().await;
    let page = world.get("/journal?limit=1").await.body;
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    let first = page["events"][0]["seq"].as_u64().unwrap();
    let rest = world.get(&format!("/journal?after={first}")).await.body;
    assert_eq!(rest["events"][0]["seq"], json!(first + 1));
    let last = rest["last"].as_u64().unwrap();

    let mut lines = stream(&world, &format!("/control/events?after={}", last - 1)).await;
    assert_eq!(next(&mut lines).await["seq"], json!(last));
    world.post("/phones/14155551001/messages", &json!({ "to": ANN, "text": "Zaunkönig" })).await;
    loop {
        let event = next(&mut lines).await;
        if event["event"] == "phone_received" {
            assert_eq!(event["verdict"], json!("accept"));
            break;
        }
    }
    // The text itself is in no event.
    assert!(!world.get("/journal").await.body.to_string().contains("Zaunkönig"));
    world.sandbox.shutdown().await;
    let mut rest = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut lines, &mut rest).await.unwrap();
}

/// Opens a stream by hand and reads the head of the answer.
async fn stream(world: &World, target: &str) -> BufReader<TcpStream> {
    let mut socket = TcpStream::connect(world.sandbox.http_addr()).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: sandbox\r\nAccept: text/event-stream\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).await.unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    reader
}

/// The next event of a stream. Chunk sizes, ids and comments stand on lines of their own and are passed over.
async fn next(reader: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), reader.read_line(&mut line)).await;
        assert_ne!(read.unwrap().unwrap(), 0, "the stream has ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

#[tokio::test]
async fn the_clock_moves_ahead() {
    let world = World::new().await;
    world.enlist("alice");
    assert_eq!(world.get("/clock").await.body["now"], json!(1_800_000_000));
    let now = world.post("/clock/advance", &json!({ "seconds": 31 * 86_400 })).await.body;
    assert_eq!(now["now"], json!(1_800_000_000 + 31 * 86_400));
    assert_eq!(world.get("/users").await.body["users"], json!([]), "30 days without a connection");
    let back = world.post("/clock/back", &json!({ "seconds": 5 })).await.body;
    assert_eq!(back["now"], json!(1_800_000_000 + 31 * 86_400 - 5));
    assert_eq!(
        problem(&world.post("/clock/back", &json!({ "seconds": 86_401 })).await),
        (422, "bad-seconds")
    );
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn mistakes_are_named() {
    let world = World::with_phones().await;
    world.enlist("alice");
    let long = "x".repeat(65_537);
    for (path, body, expected) in [
        ("/phones", json!({ "number": "12" }), (422, "bad-number")),
        ("/phones", json!({ "number": "../../etc" }), (422, "bad-number")),
        ("/phones", json!({ "number": "4915112345678", "name": "" }), (422, "bad-name")),
        ("/phones", json!({ "number": JOE, "colour": "red" }), (400, "bad-body")),
        ("/phones", json!({ "name": "Joe" }), (400, "bad-body")),
        ("/phones", json!({ "number": 5 }), (400, "bad-body")),
        ("/phones/4915112345678/messages", json!({ "to": "alice", "text": "x" }), (404, "no-such-phone")),
        ("/phones/14155551001/messages", json!({ "to": "nobody", "text": "x" }), (422, "no-such-user")),
        ("/phones/14155551001/messages", json!({ "to": JOE, "text": "x" }), (422, "bad-recipient")),
        ("/phones/14155551001/messages", json!({ "to": "alice", "text": "" }), (422, "bad-text")),
        ("/phones/14155551001/messages", json!({ "to": "alice", "text": long }), (422, "bad-text")),
        ("/phones/14155551001/read", json!({ "peer": "alice", "id": "3EB0" }), (422, "no-such-message")),
        ("/phones/14155551001/read", json!({ "peer": "alice", "id": "" }), (422, "bad-id")),
        ("/phones/14155551001/block", json!({ "peer": "nobody" }), (422, "no-such-user")),
        ("/phones/14155551001/revoke", json!({ "peer": "alice", "id": "3EB0" }), (422, "no-such-message")),
        ("/phones/14155551001/react", json!({ "peer": "alice", "id": "3EB0" }), (400, "bad-body")),
        ("/phones/14155551001/garbage", json!({ "to": "alice", "what": "plastic" }), (422, "bad-garbage")),
        ("/phones/14155551001/type", json!({ "peer": "alice", "state": "asleep" }), (400, "bad-body")),
        ("/phones/14155551001/reinstall", json!({ "now": true }), (400, "bad-body")),
        ("/phones/14155551001/block", json!({ "peer": JOE }), (422, "bad-recipient")),
        ("/holds", json!({ "to": "alice", "count": 0 }), (422, "bad-count")),
        ("/holds", json!({ "to": "nobody", "count": 3 }), (422, "no-such-user")),
        ("/holds/release", json!({ "to": "nobody" }), (422, "no-such-user")),
        ("/clock/advance", json!({ "seconds": u64::MAX }), (422, "bad-seconds")),
        ("/clock/advance", json!({ "seconds": -1 }), (400, "bad-body")),
        ("/nothing", json!({}), (404, "not-found")),
        ("/users", json!({}), (405, "method-not-allowed")),
    ] {
        let answer = world.post(path, &body).await;
        assert_eq!(problem(&answer), expected, "{path} {}", answer.body);
    }
    for (path, expected) in [
        ("/phones/4915112345678", (404, "no-such-phone")),
        ("/phones/14155551001/messages?wait=61", (422, "bad-wait")),
        ("/phones/14155551001/messages?after=x", (400, "bad-query")),
        ("/phones/14155551001/messages?colour=red", (400, "bad-query")),
        ("/journal?limit=0", (422, "bad-limit")),
        ("/events?after=-1", (400, "bad-query")),
        ("/phones/14155551001/messages/1", (404, "not-found")),
    ] {
        assert_eq!(problem(&world.get(path).await), expected, "{path}");
    }
    let broken = world.post_as("/phones", "{", "application/json").await;
    assert_eq!(problem(&broken), (400, "bad-body"));
    let form = world.post_as("/phones", "number=14155551001", "application/x-www-form-urlencoded").await;
    assert_eq!(problem(&form), (415, "unsupported-media-type"));
    let large = json!({ "to": "alice", "text": "x".repeat(super::MAX_BODY) });
    assert_eq!(problem(&world.post("/phones/14155551001/messages", &large).await), (413, "too-large"));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn health_is_outside_of_the_api() {
    let world = World::new().await;
    let origin = format!("http://{}", world.sandbox.http_addr());
    for path in ["/healthz", "/readyz"] {
        let answer = world.client.get(&format!("{origin}{path}"), &[]).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"ok"[..]));
    }
    world.sandbox.shutdown().await;
}

/// A PUT by hand, checked as the others are.
async fn put(world: &World, path: &str, body: &Value) -> (u16, Value) {
    by_hand(world, "put", path, &body.to_string()).await
}

/// A DELETE by hand, checked as the others are.
async fn delete(world: &World, path: &str) -> u16 {
    by_hand(world, "delete", path, "").await.0
}

async fn by_hand(world: &World, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut socket = TcpStream::connect(world.sandbox.http_addr()).await.unwrap();
    let request = format!(
        "{} /control{path} HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        method.to_uppercase(),
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut answer).await.unwrap();
    let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let operation = world.operation(method, path).unwrap();
    let known = schema::resolve(&world.document, &operation["responses"][status.to_string()]);
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let Some(content) = known.get("content") else {
        assert_eq!((body, known.is_null()), ("", false), "{method} {path} answered {status}");
        return (status, Value::Null);
    };
    let body: Value = serde_json::from_str(body).unwrap();
    schema::check(
        &world.document,
        &content.as_object().unwrap().values().next().unwrap()["schema"],
        &body,
        path,
    );
    (status, body)
}

#[tokio::test]
async fn faults_are_listed_and_set() {
    let world = World::new().await;
    let listed = world.get("/faults").await.body;
    assert_eq!(listed["profile"], "calm");
    assert!(listed["faults"].as_array().unwrap().iter().all(|fault| fault["probability"] == 0.0));
    let (status, storm) = put(&world, "/faults", &json!({ "profile": "storm", "seed": 42 })).await;
    assert_eq!((status, &storm["profile"], &storm["seed"]), (200, &json!("storm"), &json!(42)));
    let split = |report: &Value| {
        let faults = report["faults"].as_array().unwrap().clone();
        faults.into_iter().find(|fault| fault["name"] == "tcp-split").unwrap()
    };
    assert_eq!(split(&storm)["probability"], json!(1.0));
    let (_, one) = put(&world, "/faults/tcp-split", &json!({ "probability": 0.5, "times": 3 })).await;
    assert_eq!((&split(&one)["probability"], &split(&one)["left"]), (&json!(0.5), &json!(3)));
    let (_, calm) = put(&world, "/faults", &json!({ "profile": "calm" })).await;
    assert_eq!((&split(&calm)["probability"], &calm["seed"]), (&json!(0.0), &json!(42)));
    for (path, body, status) in [
        ("/faults/no-such", json!({ "probability": 1 }), 404),
        ("/faults/tcp-split", json!({ "probability": 1.5 }), 422),
        ("/faults/tcp-split", json!({}), 400),
        ("/faults", json!({ "profile": "windy" }), 400),
    ] {
        assert_eq!(put(&world, path, &body).await.0, status, "{path} {body}");
    }
    let numbers = world.get("/magic").await.body;
    assert_eq!(numbers["numbers"][0]["number"], "15550100000");
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn the_document_is_served_and_its_examples_keep_its_schemas() {
    let world = World::new().await;
    assert_eq!(world.get("/openapi.json").await.body, world.document);
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in world.document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{path}: the name is taken");
            let placed = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
            let in_path = placed.filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
            let body = operation.get("requestBody").map(|body| &body["content"]);
            assert_eq!(body.is_some(), method != "get" && method != "delete", "{method} {path}");
            let answers = operation["responses"].as_object().unwrap().values();
            let contents = body.into_iter().chain(answers.filter_map(|answer| answer.get("content")));
            for content in contents.filter_map(|content| content.get("application/json")) {
                if let Some(example) = content.get("example") {
                    schema::check(&world.document, &content["schema"], example, path);
                }
            }
        }
    }
    schema::check_references(&world.document, &world.document);
    world.sandbox.shutdown().await;
}
