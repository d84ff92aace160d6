//! NATS over TLS, with keys and with credentials of an operator's accounts.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use landbridge_engines::{NatsConfig, NatsSwitchboard};
use landbridge_localservices::Nats;
use landbridge_partner::wake::Switchboard as _;
use nkeys::KeyPair;
use tempfile::TempDir;

use crate::authority::Authority;

/// A log in memory, of what happens on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Until the guard is dropped.
    fn start() -> (Self, impl Drop) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        (log, tracing_subscriber::util::SubscriberInitExt::set_default(subscriber.finish()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until something is said of NATS that cannot be used, and gives the line.
    async fn refusal(&self) -> String {
        let mut found = None;
        until("a refusal is told", || {
            found = self.text().lines().find(|line| line.contains("NATS cannot be used")).map(str::to_owned);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Files of one test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A server with this configuration.
    fn serve(&self, configuration: &str) -> Nats {
        let file = self.write("nats.conf", configuration);
        Nats::start_with(&["--config", file.to_str().unwrap()]).unwrap()
    }
}

/// Waits until a server with these settings is let in.
async fn assert_let_in(config: NatsConfig) {
    let switchboard = NatsSwitchboard::new(config).await.unwrap();
    until("it is let in", || switchboard.is_linked()).await;
}

/// Waits until a server with these settings is told why it is not let in.
async fn refusal(config: NatsConfig) -> String {
    let (log, _guard) = Log::start();
    let switchboard = NatsSwitchboard::new(config).await.unwrap();
    let said = log.refusal().await;
    assert!(!switchboard.is_linked());
    said
}

#[tokio::test]
async fn whom_to_believe() {
    let (authority, other, files) = (Authority::new(), Authority::new(), Files::new());
    let (chain, key) = authority.certify("127.0.0.1");
    let (chain, key) = (files.write("chain.pem", &chain), files.write("key.pem", &key));
    let (chain, key) = (chain.to_str().unwrap(), key.to_str().unwrap());
    let nats = Nats::start_with(&["--tls", "--tlscert", chain, "--tlskey", key]).unwrap();
    let tls = nats.url().replace("nats://", "tls://");
    let with = |url: &str, ca_file| NatsConfig { url: url.to_owned(), ca_file, ..NatsConfig::default() };
    assert_let_in(with(&tls, authority.file())).await;
    for ca_file in [other.file(), None] {
        let said = refusal(with(&tls, ca_file)).await;
        assert!(said.contains("UnknownIssuer"), "{said}");
    }
    let said = refusal(with(&tls.replace("127.0.0.1", "localhost"), authority.file())).await;
    assert!(said.contains("NotValidForName") || said.contains("not valid for name"), "{said}");
    // A server without TLS, where TLS is demanded by the URL or by the file.
    let plain = Nats::start().unwrap();
    for url in [plain.url().replace("nats://", "tls://"), plain.url()] {
        let (log, _guard) = Log::start();
        let switchboard = NatsSwitchboard::new(with(&url, authority.file())).await.unwrap();
        log.refusal().await;
        assert!(!switchboard.is_linked());
    }
}

#[tokio::test]
async fn keys() {
    let (files, own, stranger) = (Files::new(), KeyPair::new_user(), KeyPair::new_user());
    let nats = files.serve(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}", own.public_key()));
    let with = |key: &KeyPair| NatsConfig {
        url: nats.url(),
        nkey_file: Some(files.write(&key.public_key(), &format!("{}\n", key.seed().unwrap()))),
        ..NatsConfig::default()
    };
    assert_let_in(with(&own)).await;
    let said = refusal(with(&stranger)).await;
    assert!(said.contains("authorization violation"), "{said}");
    assert!(!said.contains(&stranger.seed().unwrap()), "{said}");
}

/// A token as NATS reads it.
fn jwt(issuer: &KeyPair, subject: &KeyPair, claims: &str) -> String {
    let (issued_by, subject) = (issuer.public_key(), subject.public_key());
    let payload = format!(
        r#"{{"jti":"{subject}","iat":1700000000,"iss":"{issued_by}","name":"test","sub":"{subject}","nats":{claims}}}"#
    );
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(payload));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

const LIMITS: &str =
    r#""subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1"#;
/// What an account with JetStream has more; the operator's own may not have it.
const JETSTREAM: &str = r#","mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1"#;
const USER: &str = r#"{"pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1,"type":"user","version":2}"#;

/// A file as `nsc` makes it.
fn credentials(account: &KeyPair, user: &KeyPair) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt(account, user, USER),
        user.seed().unwrap()
    )
}

/// An operator with an account, whose users have `.creds` files. One who was not let in is let in as soon as the server knows
/// the account.
#[tokio::test]
async fn credentials_of_accounts() {
    let (operator, system, account) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let files = Files::new();
    let configuration = |accounts: &[&KeyPair]| {
        let accounts = accounts.iter().copied().chain([&system]).map(|account| {
            let own = if account.public_key() == system.public_key() { "" } else { JETSTREAM };
            let claims = format!(r#"{{"limits":{{{LIMITS}{own}}},"type":"account","version":2}}"#);
            format!("{}: {}\n", account.public_key(), jwt(&operator, account, &claims))
        });
        format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}}}\n",
            jwt(&operator, &operator, r#"{"type":"operator","version":2}"#),
            system.public_key(),
            accounts.collect::<String>()
        )
    };
    let nats = files.serve(&configuration(&[&account]));
    let with = |name: &str, text: &str| NatsConfig {
        url: nats.url(),
        credentials_file: Some(files.write(name, text)),
        ..NatsConfig::default()
    };
    let user = KeyPair::new_user();
    assert_let_in(with("own.creds", &credentials(&account, &user))).await;
    // Signed by nobody the operator knows, and somebody else's token.
    let mut stolen = credentials(&account, &user);
    stolen = stolen.replace(&user.seed().unwrap(), &KeyPair::new_user().seed().unwrap());
    let unknown = KeyPair::new_account();
    let late = with("unknown.creds", &credentials(&unknown, &user));
    for config in [late.clone(), with("stolen.creds", &stolen)] {
        let said = refusal(config).await;
        assert!(said.contains("authorization violation"), "{said}");
    }
    let waiting = NatsSwitchboard::new(late).await.unwrap();
    files.write("nats.conf", &configuration(&[&account, &unknown]));
    nats.kill().unwrap();
    nats.restart().unwrap();
    until("it is let in at last", || waiting.is_linked()).await;
}
