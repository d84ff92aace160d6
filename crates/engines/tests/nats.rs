//! Two partner servers over one store, tied together by a real NATS server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

#[path = "../../partner/tests/common/mod.rs"]
mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use common::whatsapp::WhatsApp;
use common::{ALICE, Events, put_target, send, until};
use futures_util::StreamExt as _;
use landbridge_engines::{NatsConfig, NatsError, NatsSwitchboard};
use landbridge_localservices::Nats;
use landbridge_partner::store::SqliteStore;
use landbridge_partner::wake::Switchboard as _;
use landbridge_partner::{Clock, KeyFileError, Partner, PartnerConfig};

const SOCKET: &str = r#"{"kind":"socket"}"#;
const CONNECTED: &str = "landbridge_push_received_total{result=\"connected\"}";
const SENT: &str = "landbridge_wake_sent_total{kind=\"socket\",result=\"ok\"}";

/// What servers share.
struct Town {
    nats: Nats,
    whatsapp: WhatsApp,
    store: Arc<SqliteStore>,
}

/// What one server is made of.
#[derive(Clone)]
struct Parts {
    config: PartnerConfig,
    clock: Clock,
    store: Arc<SqliteStore>,
    nats: NatsConfig,
}

impl Parts {
    async fn start(self) -> Partner {
        let switchboard = NatsSwitchboard::new(self.nats).await.unwrap();
        let partner = Partner::builder(self.config).clock(self.clock).store(self.store);
        partner.switchboard(Arc::new(switchboard)).start().await.unwrap()
    }
}

impl Town {
    async fn new() -> Self {
        Self::with(Nats::start().unwrap()).await
    }

    async fn with(nats: Nats) -> Self {
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        Self { nats, whatsapp: WhatsApp::start().await, store }
    }

    fn nats(&self) -> NatsConfig {
        NatsConfig { url: self.nats.url(), alive_seconds: 1, ..NatsConfig::default() }
    }

    fn parts(&self) -> Parts {
        let config = PartnerConfig { base_url: Some("http://partner".to_owned()), ..self.whatsapp.config() };
        let (clock, store) = (self.whatsapp.hand.clock(), Arc::clone(&self.store));
        Parts { config, clock, store, nats: self.nats() }
    }

    async fn server(&self) -> Partner {
        let partner = self.parts().start().await;
        until("the server is linked", async || is_linked(&partner).await).await;
        partner
    }

    /// Pushes at `partner` until it drops one, since it knows that alice is connected.
    async fn until_connected(&self, partner: &Partner) {
        let before = count(partner, CONNECTED).await;
        until("it is known that the user is connected", async || {
            assert_eq!(self.whatsapp.push(partner, "alice").await.status, 200);
            count(partner, CONNECTED).await > before
        })
        .await;
    }

    /// Pushes at `partner` until it does not drop one.
    async fn until_not_connected(&self, partner: &Partner) {
        until("it is known that the user is not connected", async || {
            let before = count(partner, CONNECTED).await;
            assert_eq!(self.whatsapp.push(partner, "alice").await.status, 200);
            count(partner, CONNECTED).await == before
        })
        .await;
    }
}

async fn count(partner: &Partner, line: &str) -> u64 {
    let text = send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok()).unwrap_or(0)
}

async fn is_linked(partner: &Partner) -> bool {
    send(partner.admin_addr(), "GET /health/ready", &[], "").await.json()["checks"]["switchboard"] == "ok"
}

/// A server that can be killed: it runs in a runtime of its own, which ends without a goodbye.
struct Doomed {
    runtime: tokio::runtime::Runtime,
    partner: Partner,
}

impl Doomed {
    async fn start(parts: Parts) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let partner = runtime.spawn(parts.start()).await.unwrap();
        until("the server is linked", async || is_linked(&partner).await).await;
        Self { runtime, partner }
    }

    fn kill(self) {
        // Nothing of it runs from here on, so nothing of it says a last word.
        self.runtime.shutdown_background();
    }
}

#[tokio::test]
async fn a_push_at_one_wakes_a_stream_at_the_other() {
    let town = Town::new().await;
    let (a, b) = (town.server().await, town.server().await);
    let mut events = Events::open(b.addr(), ALICE, "device=phone").await;
    assert_eq!(town.whatsapp.push(&a, "alice").await.status, 200);
    assert_eq!(events.next().await.len(), 22);
    until("it is settled", async || count(&a, SENT).await == 1).await;
    assert_eq!(count(&b, SENT).await, 0, "the one with the row has handed it over");
}

#[tokio::test]
async fn who_is_connected_at_the_other_is_left_alone_until_that_ends() {
    let town = Town::new().await;
    let (a, b) = (town.server().await, town.server().await);
    let events = Events::open(b.addr(), ALICE, "device=phone&chat=connected").await;
    town.until_connected(&a).await;
    drop(events);
    town.until_not_connected(&a).await;
    let _events = Events::open(b.addr(), ALICE, "device=phone&chat=connected").await;
    town.until_connected(&a).await;
    b.shutdown().await;
    town.until_not_connected(&a).await;
}

#[tokio::test]
async fn a_server_that_is_killed_counts_for_nothing_soon() {
    let town = Town::new().await;
    let a = town.server().await;
    let b = Doomed::start(town.parts()).await;
    let events = Events::open(b.partner.addr(), ALICE, "device=phone&chat=connected").await;
    town.until_connected(&a).await;
    b.kill();
    drop(events);
    town.until_not_connected(&a).await;
    // What was accepted meanwhile waits for the device.
    Events::open(a.addr(), ALICE, "device=phone").await.next().await;
}

#[tokio::test]
async fn a_stream_moves_and_its_old_end_ends() {
    let town = Town::new().await;
    let (a, b) = (town.server().await, town.server().await);
    let mut events = Events::open(a.addr(), ALICE, "device=phone&chat=connected").await;
    for (old, new) in [(&a, &b), (&b, &a), (&a, &b)] {
        town.until_connected(new).await;
        let newer = Events::open(new.addr(), ALICE, "device=phone&chat=connected").await;
        assert!(std::mem::replace(&mut events, newer).ended().await, "the old one ends");
        town.until_connected(old).await;
    }
    let mut events = Events::open(b.addr(), ALICE, "device=phone").await;
    town.until_not_connected(&a).await;
    events.next().await;
    let bearer = [("Authorization", "Bearer session-of-alice")];
    assert_eq!(send(a.addr(), "DELETE /v1/me", &bearer, "").await.status, 202);
    assert!(events.ended().await, "a user who leaves leaves everywhere");
}

#[tokio::test]
async fn nats_is_killed_and_comes_back_without_its_memory_and_its_store() {
    let town = Town::new().await;
    let (a, b) = (town.server().await, town.server().await);
    let mut events = Events::open(b.addr(), ALICE, "device=phone").await;
    assert_eq!(town.whatsapp.push(&a, "alice").await.status, 200);
    let mut seen = std::collections::HashSet::from([events.next().await]);
    for with_store in [false, true, true] {
        if with_store {
            town.nats.kill_with_store().unwrap()
        } else {
            town.nats.kill().unwrap()
        }
        until("both see it", async || !is_linked(&a).await && !is_linked(&b).await).await;
        assert_eq!(town.whatsapp.push(&a, "alice").await.status, 200, "pushes are accepted all the same");
        town.nats.restart().unwrap();
        // It finds its way; the one before may come once more, if the kill swallowed the word that it was taken.
        while !seen.insert(events.next().await) {}
    }
    // Presence is told again, too.
    let _desk = Events::open(b.addr(), ALICE, "device=desk&chat=connected").await;
    town.until_connected(&a).await;
    town.nats.kill().unwrap();
    town.nats.restart().unwrap();
    until("both are back", async || is_linked(&a).await && is_linked(&b).await).await;
    town.until_connected(&a).await;
}

/// A push is answered, and NATS, its store and the server that answered are gone before the device hears of it.
#[tokio::test]
async fn an_accepted_push_is_never_only_in_nats() {
    let town = Town::new().await;
    let b = town.server().await;
    let a = Doomed::start(town.parts()).await;
    assert_eq!(put_target(b.addr(), ALICE, "phone", SOCKET).await.status, 204);
    assert_eq!(town.whatsapp.push(&a.partner, "alice").await.status, 200);
    town.nats.kill_with_store().unwrap();
    a.kill();
    Events::open(b.addr(), ALICE, "device=phone").await.next().await;
    town.nats.restart().unwrap();
    until("the other is back", async || is_linked(&b).await).await;
}

#[tokio::test]
async fn without_nats_a_server_is_one_of_its_own() {
    let town = Town::new().await;
    town.nats.kill().unwrap();
    let a = town.parts().start().await;
    assert!(!is_linked(&a).await);
    assert_eq!(put_target(a.addr(), ALICE, "phone", SOCKET).await.status, 204);
    let mut events = Events::open(a.addr(), ALICE, "device=phone").await;
    assert_eq!(town.whatsapp.push(&a, "alice").await.status, 200);
    events.next().await;
    a.shutdown().await;
}

/// Everything that goes over NATS, to somebody who reads along.
#[tokio::test]
async fn nobody_is_named_on_the_wire() {
    let town = Town::new().await;
    let (a, b) = (town.server().await, town.server().await);
    let reader = async_nats::connect(town.nats.url()).await.unwrap();
    let mut heard = reader.subscribe(">").await.unwrap();
    reader.flush().await.unwrap();
    let mut events = Events::open(b.addr(), ALICE, "device=phone-of-alice").await;
    assert_eq!(town.whatsapp.push(&a, "alice").await.status, 200);
    events.next().await;
    let bearer = [("Authorization", "Bearer session-of-alice")];
    assert_eq!(send(a.addr(), "DELETE /v1/me", &bearer, "").await.status, 202);
    assert!(events.ended().await);
    let (mut routes, mut calls, mut words) = (0, 0, 0);
    while calls == 0 || words == 0 || routes == 0 {
        let message = tokio::time::timeout(std::time::Duration::from_secs(20), heard.next());
        let message = message.await.unwrap().unwrap();
        let said = format!("{} {}", message.subject, String::from_utf8_lossy(&message.payload));
        assert!(!said.contains("alice") && !said.contains("phone"), "{said}");
        routes += u32::from(message.subject.starts_with("$KV.landbridge_routes."));
        calls += u32::from(message.subject.starts_with("landbridge.server."));
        words += u32::from(said.contains("user_left"));
    }
}

/// Somebody else writes where the servers read.
#[tokio::test]
async fn noise_changes_nothing() {
    let town = Town::new().await;
    let (a, b) = (town.server().await, town.server().await);
    let mut events = Events::open(b.addr(), ALICE, "device=phone").await;
    let noise = async_nats::connect(town.nats.url()).await.unwrap();
    let key = landbridge_partner::wake::DeviceKey::of("bob", "phone");
    let routes = "$KV.landbridge_routes";
    for text in ["", "{}", "junk", "{\"word\":\"alive\",\"server\":\"x\"}", &"[".repeat(200)] {
        for subject in ["landbridge.all".to_owned(), format!("{routes}.junk"), format!("{routes}.{key}")] {
            noise.publish(subject, text.to_owned().into()).await.unwrap();
        }
    }
    // A place that does not exist.
    let nowhere = format!("{{\"server\":\"{}\",\"connected\":true}}", "0".repeat(32));
    noise.publish(format!("{routes}.{key}"), nowhere.into()).await.unwrap();
    noise.flush().await.unwrap();
    assert_eq!(town.whatsapp.push(&a, "alice").await.status, 200);
    events.next().await;
    assert!(is_linked(&a).await && is_linked(&b).await);
}

/// For the owner alone, as secrets have to be.
fn write_private(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn passwords_and_tokens_are_read_from_files_and_shown_to_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let secret = "Tr0ub4dor";
    write_private(&file, &format!("{secret}\n"));
    let town = Town::with(Nats::start_with(&["--user", "partner", "--pass", secret]).unwrap()).await;
    let (user, password_file) = (Some("partner".to_owned()), Some(file.clone()));
    let with_password = NatsConfig { user, password_file, ..town.nats() };
    let partner = Parts { nats: with_password.clone(), ..town.parts() }.start().await;
    until("it is let in", async || is_linked(&partner).await).await;
    let shown = NatsSwitchboard::new(with_password.clone()).await.unwrap();
    assert!(!format!("{shown:?} {with_password:?}").contains(secret));

    let stranger = town.parts().start().await;
    assert_eq!(town.whatsapp.push(&stranger, "alice").await.status, 200);
    assert!(!is_linked(&stranger).await, "who does not prove who it is stays alone");

    let token = Nats::start_with(&["--auth", secret]).unwrap();
    let with_token = NatsConfig { url: token.url(), token_file: Some(file), ..NatsConfig::default() };
    let partner = Parts { nats: with_token, ..town.parts() }.start().await;
    until("it is let in", async || is_linked(&partner).await).await;
}

/// The example of deployment lets a server do what it has to, and nothing else.
#[tokio::test]
async fn the_permissions_of_the_example_suffice() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nats.conf");
    let example = std::fs::read_to_string("../../deploy/nats.conf").unwrap();
    // The place of things is the test's; older servers do not know sync_interval.
    let is_ours = |line: &&str| {
        !["port:", "store_dir:", "sync_interval:"].iter().any(|own| line.trim().starts_with(own))
    };
    let configuration: Vec<&str> = example.lines().filter(is_ours).collect();
    std::fs::write(&file, configuration.join("\n").replace("$NATS_PASSWORD", "s3cret")).unwrap();
    let password = directory.path().join("password");
    write_private(&password, "s3cret");
    let town = Town::with(Nats::start_with(&["--config", file.to_str().unwrap()]).unwrap()).await;
    let (user, password_file) = (Some("landbridge".to_owned()), Some(password));
    let nats = NatsConfig { user, password_file, ..town.nats() };
    let parts = || Parts { nats: nats.clone(), ..town.parts() };
    let (a, b) = (parts().start().await, parts().start().await);
    let mut events = Events::open(b.addr(), ALICE, "device=phone&chat=connected").await;
    town.until_connected(&a).await;
    events = {
        let newer = Events::open(b.addr(), ALICE, "device=phone").await;
        assert!(events.ended().await);
        newer
    };
    town.until_not_connected(&a).await;
    events.next().await;
    let options = async_nats::ConnectOptions::with_user_and_password("landbridge".into(), "s3cret".into());
    let curious = options.custom_inbox_prefix("landbridge.inbox").connect(town.nats.url()).await.unwrap();
    let mut others = curious.subscribe("elsewhere").await.unwrap();
    curious.publish("elsewhere", "x".into()).await.unwrap();
    let heard = curious.request("$JS.API.INFO", "".into()).await;
    assert!(heard.is_ok(), "what came before was seen to");
    assert!(futures_util::FutureExt::now_or_never(others.next()).is_none(), "other subjects are not heard");
}

#[tokio::test]
async fn the_way_to_nats_may_be_tls() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let arguments = ["--tls", "--tlscert", &path("cert.pem"), "--tlskey", &path("key.pem")];
    let town = Town::with(Nats::start_with(&arguments).unwrap()).await;
    let url = town.nats.url().replace("nats://", "tls://");
    let trusting = NatsConfig { url: url.clone(), ca_file: Some(path("cert.pem").into()), ..town.nats() };
    let partner = Parts { nats: trusting, ..town.parts() }.start().await;
    until("it is let in", async || is_linked(&partner).await).await;
    let doubting = NatsSwitchboard::new(NatsConfig { url, ..town.nats() }).await.unwrap();
    assert!(!doubting.is_linked());
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused() {
    let refused = async |config: NatsConfig| NatsSwitchboard::new(config).await.err();
    let base = NatsConfig::default();
    for url in ["http://x", "nats://a b", "nats://a:b"] {
        let config = NatsConfig { url: url.to_owned(), ..base.clone() };
        assert!(matches!(refused(config).await, Some(NatsError::Url(_))), "{url}");
    }
    for url in ["nats://me:secret@127.0.0.1", "nats://127.0.0.1,nats://token@127.0.0.1"] {
        let config = NatsConfig { url: url.to_owned(), ..base.clone() };
        assert!(matches!(refused(config).await, Some(NatsError::UrlHasSecret)), "{url}");
    }
    for prefix in ["", "a.b", "a b", ">", "*", &"x".repeat(65)] {
        let config = NatsConfig { prefix: prefix.to_owned(), ..base.clone() };
        assert!(matches!(refused(config).await, Some(NatsError::Prefix { .. })), "{prefix}");
    }
    for (alive_seconds, replicas) in [(0, 1), (3601, 1), (40, 0), (40, 6)] {
        let config = NatsConfig { alive_seconds, replicas, ..base.clone() };
        assert!(matches!(refused(config).await, Some(NatsError::Range { .. })));
    }
    let missing = Some("/nowhere/at/all".into());
    let half = NatsConfig { user: Some("x".to_owned()), ..base.clone() };
    let both = NatsConfig { token_file: missing.clone(), credentials_file: missing.clone(), ..base.clone() };
    for config in [half, both] {
        assert!(matches!(refused(config).await, Some(NatsError::Credentials)));
    }
    for config in [
        NatsConfig { credentials_file: missing.clone(), ..base.clone() },
        NatsConfig { token_file: missing.clone(), ..base.clone() },
    ] {
        assert!(matches!(refused(config).await, Some(NatsError::Secret(KeyFileError::Read { .. }))));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = NatsConfig { nkey_file: Some(file.path().to_owned()), ..base.clone() };
    let open = refused(open).await;
    assert!(matches!(open, Some(NatsError::Secret(KeyFileError::Mode { mode: 0o640, .. }))), "{open:?}");
    let no_roots = NatsConfig { ca_file: missing, ..base };
    assert!(matches!(refused(no_roots).await, Some(NatsError::File { .. })));
}
