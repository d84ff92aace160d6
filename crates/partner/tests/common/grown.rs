//! The second mode of these tests: the same servers over the engines of a partner that has grown. `cargo xtask test services`
//! asks for it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use landbridge_engines::{
    NatsConfig, NatsSwitchboard, ObjectBlobs, ObjectsConfig, PostgresConfig, PostgresKeys, PostgresStore,
    SealKey,
};
use landbridge_localservices::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};
use landbridge_localservices::{Nats, Postgres};
use landbridge_partner::media::{BlobStream, BlobWriter, Blobs};
use landbridge_partner::{KeyShelf as _, KeyState, PartnerBuilder};

const MODE: &str = "LANDBRIDGE_TEST_MODE";

pub(crate) fn is_wanted() -> bool {
    match std::env::var(MODE).as_deref() {
        Ok("grown") => true,
        Ok(other) => panic!("{MODE} is {other:?}, and may be \"grown\""),
        Err(_) => false,
    }
}

/// A database, a bucket and a prefix of its own.
#[derive(Clone)]
pub(crate) struct Engines {
    pub(crate) database: String,
    bucket: Arc<Bucket>,
    nats: NatsConfig,
}

impl Engines {
    pub(crate) async fn new() -> Self {
        let database = Postgres::shared().unwrap().database().unwrap();
        Self { database, bucket: Arc::new(Bucket::start().await), nats: nats() }
    }

    async fn store(&self) -> PostgresStore {
        let config = PostgresConfig { pool: 4, ..PostgresConfig::new(self.database.clone()) };
        PostgresStore::open(&config).await.unwrap().sealing_references(Self::seal())
    }

    fn seal() -> SealKey {
        SealKey::new(&[7; 32]).unwrap()
    }

    fn keys_in(store: PostgresStore) -> PostgresKeys {
        PostgresKeys::new(store, Self::seal())
    }

    /// A server over them. They end with the last one and this value.
    pub(crate) async fn install(&self, builder: PartnerBuilder) -> PartnerBuilder {
        let store = self.store().await;
        let switchboard = NatsSwitchboard::new(self.nats.clone()).await.unwrap();
        let builder = builder.store(Arc::new(store.clone())).key_shelf(Arc::new(Self::keys_in(store)));
        builder.blobs(Arc::clone(&self.bucket) as Arc<dyn Blobs>).switchboard(Arc::new(switchboard))
    }

    /// The keys that lie in the database.
    pub(crate) async fn keys(&self) -> KeyState {
        Self::keys_in(self.store().await).load().await.unwrap().state
    }

    /// Where the bucket's objects are, as files.
    pub(crate) fn objects(&self) -> PathBuf {
        self.bucket.service.objects()
    }

    pub(crate) fn drop_database(&self) {
        let name = self.database.rsplit('/').next().unwrap();
        Postgres::shared().unwrap().sql(&format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
    }

    /// Everything that is in the database, as text.
    pub(crate) fn dump(&self) -> String {
        Postgres::shared().unwrap().dump(&self.database).unwrap()
    }

    /// Every message that the streams of NATS hold: subject, headers and payload.
    pub(crate) async fn messages(&self) -> Vec<String> {
        use futures_util::TryStreamExt as _;
        let client = async_nats::connect(&self.nats.url).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let names: Vec<String> = context.stream_names().try_collect().await.unwrap();
        let mut found = Vec::new();
        for name in names.iter().filter(|name| name.contains(&self.nats.prefix)) {
            let stream = context.get_stream(name).await.unwrap();
            let state = &stream.cached_info().state;
            for sequence in state.first_sequence..=state.last_sequence {
                // Some have been replaced.
                let Ok(message) = stream.get_raw_message(sequence).await else { continue };
                let payload = String::from_utf8_lossy(&message.payload);
                found.push(format!("{} {:?} {payload}", message.subject, message.headers));
            }
        }
        found
    }
}

/// One service for the process, which ends with it.
fn nats() -> NatsConfig {
    static SERVICE: OnceLock<Nats> = OnceLock::new();
    static PREFIXES: AtomicU32 = AtomicU32::new(0);
    let service = SERVICE.get_or_init(|| Nats::start().unwrap());
    let prefix = format!("test-{}-", PREFIXES.fetch_add(1, Ordering::Relaxed));
    NatsConfig { url: service.url(), prefix, ..NatsConfig::default() }
}

/// A bucket with its service, which ends with the last server that uses it.
struct Bucket {
    blobs: ObjectBlobs,
    service: S3,
}

impl Bucket {
    async fn start() -> Self {
        let service = S3::start().await.unwrap();
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), SECRET_KEY).unwrap();
        let blobs = ObjectBlobs::open(&ObjectsConfig {
            bucket: BUCKET.to_owned(),
            endpoint: Some(service.endpoint()),
            access_key_id: Some(ACCESS_KEY.to_owned()),
            secret_access_key_file: Some(secret.path().to_owned()),
            allow_http: true,
            ..ObjectsConfig::default()
        })
        .unwrap();
        Self { blobs, service }
    }
}

#[async_trait::async_trait]
impl Blobs for Bucket {
    async fn received(&self, id: &str) -> io::Result<u64> {
        self.blobs.received(id).await
    }

    async fn append(&self, id: &str, at: u64) -> io::Result<Box<dyn BlobWriter>> {
        self.blobs.append(id, at).await
    }

    async fn read_upload(&self, id: &str) -> io::Result<BlobStream> {
        self.blobs.read_upload(id).await
    }

    async fn publish(&self, id: &str, name: &str) -> io::Result<()> {
        self.blobs.publish(id, name).await
    }

    async fn published(&self, name: &str) -> io::Result<Option<u64>> {
        self.blobs.published(name).await
    }

    async fn read(&self, name: &str, start: u64, length: u64) -> io::Result<BlobStream> {
        self.blobs.read(name, start, length).await
    }

    async fn discard(&self, id: &str) -> io::Result<()> {
        self.blobs.discard(id).await
    }

    async fn delete(&self, name: &str) -> io::Result<()> {
        self.blobs.delete(name).await
    }
}
