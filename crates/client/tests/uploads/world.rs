//! A partner's server behind a gate, a sandbox with a phone, and a user whose clients come and go on one store.

use std::path::PathBuf;
use std::sync::Arc;

use landbridge::media::{Files, HttpUploader, MediaError, OutgoingFile};
use landbridge::stanza::MessageId;
use landbridge::store::{ClientStore, OutState, SqliteStore, StoreError, Upload};
use landbridge::transport::HttpClient;
use landbridge::wire::Jid;
use landbridge::{Client, Event, Events, HttpTokenSource};
use landbridge_partner::media::MediaConfig;
use landbridge_partner::{Partner, PartnerConfig};
use landbridge_sandbox::{Direction, Sandbox, SandboxConfig};

use super::gate::Gate;

pub(crate) const BOB: &str = "14155551001";
pub(crate) const SESSION: &str = "session-of-alice";

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) partner: Partner,
    pub(crate) gate: Gate,
    pub(crate) folder: tempfile::TempDir,
}

/// A client with its files, as a process has them.
pub(crate) struct Life {
    pub(crate) client: Client,
    pub(crate) events: Events,
    pub(crate) files: Files,
}

/// What a life needs to know of its surroundings.
pub(crate) struct Surroundings {
    pub(crate) chat: String,
    pub(crate) enlist: String,
    pub(crate) root: String,
    /// Where tokens come from.
    pub(crate) partner: String,
    /// Where files go.
    pub(crate) gate: String,
}

impl Surroundings {
    pub(crate) fn life(&self, store: impl ClientStore + 'static) -> Life {
        let http = HttpClient::builder().build().unwrap();
        let tokens = HttpTokenSource::new(http.clone(), format!("{}/v1/token", self.partner), SESSION);
        let client = Client::builder()
            .store(store)
            .endpoint(self.chat.as_str())
            .enlistment_url(self.enlist.as_str())
            .root_key(self.root.as_str())
            .token_source(tokens)
            .build()
            .unwrap();
        let events = client.events();
        let files = Files::new(client.clone()).uploader(HttpUploader::new(http, self.gate.as_str(), SESSION));
        Life { client, events, files }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(MediaConfig::default()).await
    }

    pub(crate) async fn with(media: MediaConfig) -> Self {
        let partner = Partner::start(PartnerConfig {
            addr: "127.0.0.1:0".parse().unwrap(),
            admin_addr: "127.0.0.1:0".parse().unwrap(),
            dev_users: [(SESSION.to_owned(), "alice".to_owned())].into(),
            insecure_dev_auth: true,
            media,
            // Each life of a client asks for one.
            tokens_per_hour: u32::MAX,
            ..PartnerConfig::default()
        })
        .await
        .unwrap();
        let sandbox = Sandbox::start(SandboxConfig::default().partner(1, partner.base_url())).await.unwrap();
        sandbox.handle().create_phone(BOB, "Bob").unwrap();
        let gate = Gate::before(partner.addr()).await;
        let world = Self { sandbox, partner, gate, folder: tempfile::tempdir().unwrap() };
        let life = world.open().await;
        life.client.enlist("alice", 1).await.unwrap();
        world
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            chat: self.sandbox.chat_addr().to_string(),
            enlist: self.sandbox.enlist_url(),
            root: hex::encode(self.sandbox.root_key().as_bytes()),
            partner: self.partner.base_url().to_owned(),
            gate: self.gate.url().to_owned(),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("client.db")
    }

    /// The store, as soon as its last user has let it go.
    pub(crate) async fn store(&self) -> SqliteStore {
        loop {
            let path = self.database();
            match tokio::task::spawn_blocking(move || SqliteStore::open(path)).await.unwrap() {
                Err(StoreError::InUse { .. }) => {}
                opened => return opened.unwrap(),
            }
        }
    }

    pub(crate) async fn open(&self) -> Life {
        self.surroundings().life(self.store().await)
    }

    /// What the store says of the one upload, after the life that began it.
    pub(crate) async fn upload(&self) -> Upload {
        let mut store = self.store().await;
        let tx = store.begin().unwrap();
        let mut uploads = tx.uploads(0, 9).unwrap();
        assert_eq!(uploads.len(), 1);
        uploads.pop().unwrap().upload
    }

    /// Encrypted files on the disk.
    pub(crate) fn spooled(&self) -> Vec<PathBuf> {
        let folder = self.folder.path().join("client.db-files");
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The phone has got the message once, and its file is that.
    pub(crate) async fn arrived(&self, id: &MessageId, plain: &[u8]) {
        let screen = self.sandbox.handle().phone_messages(BOB).unwrap();
        let times = screen.iter().filter(|it| it.direction == Direction::Received && it.id == id.as_str());
        assert_eq!(times.count(), 1, "{screen:?}");
        let fetched = self.sandbox.handle().phone_fetch_file(BOB, "alice", id).await.unwrap();
        assert!(fetched.bytes == plain, "the phone has another file");
    }
}

impl Life {
    pub(crate) async fn send(&self, plain: &[u8]) -> MessageId {
        let file = OutgoingFile::new(plain.to_vec(), "application/zip").file_name("a.zip");
        self.files.send_document(&bob(), file).await.unwrap()
    }

    pub(crate) async fn delivered(&self, id: &MessageId) {
        let state = self.client.wait_for(&bob(), id, OutState::Delivered).await.unwrap();
        assert!(state >= OutState::Delivered, "{state:?}");
    }

    /// Waits for the word that the file will not get there.
    pub(crate) async fn failed(&mut self, id: &MessageId) -> Arc<MediaError> {
        loop {
            if let Event::FileFailed { id: failed, because, .. } = self.events.next().await.unwrap() {
                assert_eq!(&failed, id);
                let state = self.client.wait_for(&bob(), id, OutState::Sent).await.unwrap();
                assert_eq!(state, OutState::Failed);
                assert!(self.client.why_failed(&bob(), id).await.unwrap().is_some());
                assert!(self.files.pending().await.unwrap().is_empty());
                return because;
            }
        }
    }
}

pub(crate) fn bob() -> Jid {
    Jid::user(BOB)
}

pub(crate) fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 7 + n / 4099 + seed * 13) as u8).collect()
}
