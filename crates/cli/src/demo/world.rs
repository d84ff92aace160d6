//! The servers and the client of the demo.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use landbridge::media::{Files, HttpDownloader, HttpUploader};
use landbridge::noise::PinnedRoot;
use landbridge::signal::{IdentityKeyPair, SignedPreKey, SignedPreKeyId, prekeys};
use landbridge::store::{Account, ClientStore, Enlistment, MemoryStore, SqliteStore, StoreError};
use landbridge::transport::HttpClient;
use landbridge::wire::Jid;
use landbridge::{Client, Event, Events, HttpTokenSource};
use landbridge_curve::PrivateKey;
use landbridge_partner::{Partner, PartnerConfig, PushConfig};
use landbridge_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use tempfile::TempDir;

use super::report::Failure as Reason;
use super::watch::{Echo, Watch, patiently};
use crate::failure::Failure;
use crate::output;

/// The partner's user.
pub(super) const USER: &str = "alice";
/// Who is left for the commands that `--keep` prints.
const GUEST: &str = "bob";
/// The partner's number.
pub(super) const INTEGRATOR: u16 = 1;
/// The test phone: the number of WhatsApp's published sample.
pub(super) const PHONE: &str = "14155551001";

/// Everything that runs.
pub(super) struct World {
    pub(super) partner: Partner,
    pub(super) sandbox: Sandbox,
    pub(super) client: Client,
    pub(super) events: Events,
    /// The client's files, by way of the partner's server and from the sandbox's.
    pub(super) files: Files,
    pub(super) watch: Watch,
    /// Alice's keys, made before the client, so that a login with them can be tried when the client has wiped them.
    pub(super) account: Account,
    pub(super) signed_prekey: SignedPreKey,
    /// Her address, once she is enlisted.
    pub(super) address: Option<Jid>,
    dir: TempDir,
}

impl World {
    /// Starts partner server and sandbox on free ports, and makes a client with a database in a temporary directory.
    pub(super) async fn start(trace: bool) -> Result<Self, Failure> {
        // Each has to know the other's address: the sandbox where to push, the partner's server whose keys to believe.
        let bound = Sandbox::bind(SandboxConfig::default()).await?;
        let push = PushConfig { keys_url: Some(bound.jwks_url()), ..PushConfig::default() };
        let partner = Partner::start(PartnerConfig {
            addr: ([127, 0, 0, 1], 0).into(),
            admin_addr: ([127, 0, 0, 1], 0).into(),
            dev_users: [USER, GUEST].map(|user| (session_of(user), user.to_owned())).into(),
            insecure_dev_auth: true,
            push,
            ..PartnerConfig::default()
        })
        .await?;
        let sandbox = bound.partner(INTEGRATOR, partner.base_url()).start()?;
        let dir = tempfile::tempdir()?;
        let watch = Watch::new(if trace { Echo::Printed } else { Echo::Silent });
        let mut store = SqliteStore::open(dir.path().join("alice.db"))?;
        let (account, signed_prekey) = prepare(&mut store)?;
        let client = client(store, &partner, &sandbox, &watch)?;
        let events = client.events();
        let http = HttpClient::builder().build()?;
        let files = Files::new(client.clone())
            .uploader(HttpUploader::new(http.clone(), partner.base_url(), &session_of(USER)))
            .downloader(HttpDownloader::new(http).base(sandbox.media_url()));
        let address = None;
        Ok(Self { partner, sandbox, client, events, files, watch, account, signed_prekey, address, dir })
    }

    pub(super) fn handle(&self) -> &SandboxHandle {
        self.sandbox.handle()
    }

    /// The phone's address.
    pub(super) fn phone(&self) -> Jid {
        Jid::user(PHONE)
    }

    /// Alice's address as text.
    pub(super) fn address_text(&self) -> String {
        self.address.as_ref().map(Jid::to_string).unwrap_or_default()
    }

    /// The next event that `pick` takes. Others are passed over.
    pub(super) async fn event<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(Event) -> Option<T>,
    ) -> Result<T, Reason> {
        let events = &mut self.events;
        let search = async {
            loop {
                match events.next().await {
                    Some(event) => {
                        if let Some(found) = pick(event) {
                            return Ok(found);
                        }
                    }
                    None => return Err("the stream of events ended".to_owned()),
                }
            }
        };
        patiently(what, search).await?
    }

    /// A second client with Alice's keys as they were, as a thief or a forgotten backup would have them.
    pub(super) fn client_with_old_keys(&self, login: &str) -> Result<Client, Failure> {
        let mut store = MemoryStore::new();
        let enlistment = Enlistment::Enlisted { login: login.to_owned(), at: now() };
        let mut tx = store.begin()?;
        tx.create_account(&Account { enlistment, ..self.account.clone() })?;
        tx.add_signed_prekey(&self.signed_prekey, now())?;
        tx.commit()?;
        client(store, &self.partner, &self.sandbox, &Watch::new(Echo::Silent))
    }

    /// A place for a file in the temporary directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where everything listens.
    pub(super) fn introduce(&self) -> Result<(), Failure> {
        output::line(&format!(
            "\n  partner server  {}\n  chat server     {} (root key {}…)\n  enlistment      {}\n  control API     {}\n  media server    {}\n  client          {}",
            self.partner.base_url(),
            self.sandbox.chat_addr(),
            hex::encode(&self.sandbox.root_key().as_bytes()[..4]),
            self.sandbox.enlist_url(),
            self.sandbox.control_url(),
            self.sandbox.media_url(),
            "SQLite database in a temporary directory",
        ))
    }

    /// Commands to try while the servers stay up.
    pub(super) fn print_commands(&self) -> Result<(), Failure> {
        let program = std::env::args().next().unwrap_or_else(|| "landbridge".to_owned());
        let dir = self.dir.path().join(GUEST);
        let data = dir.display();
        output::line(&format!(
            "\nThe servers stay up until Ctrl-C. In another terminal:\n\n\
             {program} client --data {data} --identifier {GUEST} --integrator {INTEGRATOR} --session {} --token-url {}/v1/token --chat {} --enlist-url {} --media-url {} --root-key {} enlist\n\n\
             {program} client --data {data} send --to {PHONE} --text 'Hello, phone' --wait delivered\n\n\
             curl -s {}/phones/{PHONE}/messages\n\n\
             curl -sN -H 'Authorization: Bearer {}' '{}/v1/wake?device=mine' &  # wake-ups of {GUEST}, who is away\n\
             curl -d '{{\"to\":\"{GUEST}\"}}' -H 'content-type: application/json' {}/pushes",
            session_of(GUEST),
            self.partner.base_url(),
            self.sandbox.chat_addr(),
            self.sandbox.enlist_url(),
            self.sandbox.media_url(),
            hex::encode(self.sandbox.root_key().as_bytes()),
            self.sandbox.control_url(),
            session_of(GUEST),
            self.partner.base_url(),
            self.sandbox.control_url(),
        ))
    }

    /// Takes everything down, clients first.
    pub(super) async fn shutdown(self) {
        self.client.disconnect().await;
        self.sandbox.shutdown().await;
        self.partner.shutdown().await;
    }
}

/// Alice's keys, in the store before the client sees it.
fn prepare(store: &mut SqliteStore) -> Result<(Account, SignedPreKey), StoreError> {
    let mut rng = rand::rng();
    let identity = IdentityKeyPair::generate(&mut rng);
    let account = Account {
        registration_id: prekeys::generate_registration_id(&mut rng),
        noise_static: PrivateKey::generate(&mut rng),
        integrator: INTEGRATOR,
        identifier: USER.to_owned(),
        enlistment: Enlistment::Prepared,
        identity: identity.clone(),
    };
    let mut tx = store.begin()?;
    tx.create_account(&account)?;
    let id: SignedPreKeyId = tx.next_signed_prekey_id()?;
    let signed = SignedPreKey::generate(id, &identity, &mut rng);
    tx.add_signed_prekey(&signed, now())?;
    tx.commit()?;
    Ok((account, signed))
}

fn client(
    store: impl ClientStore + 'static,
    partner: &Partner,
    sandbox: &Sandbox,
    watch: &Watch,
) -> Result<Client, Failure> {
    let watch = watch.clone();
    let http = HttpClient::builder().build()?;
    let client = Client::builder()
        .store(store)
        .endpoint(sandbox.chat_addr().to_string())
        .enlistment_url(sandbox.enlist_url())
        .trust(PinnedRoot::new(sandbox.root_key()))
        .token_source(HttpTokenSource::new(http, token_url(partner), &session_of(USER)))
        .push_name("Alice")
        .trace(move |stanza| watch.record(stanza))
        .build()?;
    Ok(client)
}

/// Where the partner's server gives tokens.
pub(super) fn token_url(partner: &Partner) -> String {
    format!("{}/v1/token", partner.base_url())
}

/// The session by which the partner's server knows a user.
pub(super) fn session_of(user: &str) -> String {
    format!("session-of-{user}")
}

/// Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
