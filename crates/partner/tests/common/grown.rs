//! The second mode of these tests: the same servers over the engines of a partner that has grown. `cargo xtask test services`
//! asks for it.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use landbridge_engines::{
    NatsConfig, NatsSwitchboard, ObjectBlobs, ObjectsConfig, PostgresConfig, PostgresKeys, PostgresStore,
    SealKey,
};
use landbridge_localservices::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};
use landbridge_localservices::{Nats, Postgres};
use landbridge_partner::PartnerBuilder;
use landbridge_partner::media::{BlobStream, BlobWriter, Blobs};

const MODE: &str = "LANDBRIDGE_TEST_MODE";

pub(crate) fn is_wanted() -> bool {
    match std::env::var(MODE).as_deref() {
        Ok("grown") => true,
        Ok(other) => panic!("{MODE} is {other:?}, and may be \"grown\""),
        Err(_) => false,
    }
}

/// A database, a bucket and a prefix of its own for each server.
pub(crate) async fn install(builder: PartnerBuilder) -> PartnerBuilder {
    let url = Postgres::shared().unwrap().database().unwrap();
    let config = PostgresConfig { pool: 4, ..PostgresConfig::new(url) };
    let store = PostgresStore::open(&config).await.unwrap();
    let keys = PostgresKeys::new(store.clone(), SealKey::new(&[7; 32]).unwrap());
    let bucket = Bucket::start().await;
    let switchboard = NatsSwitchboard::new(nats()).await.unwrap();
    let builder = builder.store(Arc::new(store)).key_shelf(Arc::new(keys));
    builder.blobs(Arc::new(bucket)).switchboard(Arc::new(switchboard))
}

/// One service for the process, which ends with it.
fn nats() -> NatsConfig {
    static SERVICE: OnceLock<Nats> = OnceLock::new();
    static PREFIXES: AtomicU32 = AtomicU32::new(0);
    let service = SERVICE.get_or_init(|| Nats::start().unwrap());
    let prefix = format!("test-{}", PREFIXES.fetch_add(1, Ordering::Relaxed));
    NatsConfig { url: service.url(), prefix, ..NatsConfig::default() }
}

/// A bucket with its service, which ends with the server that uses it.
struct Bucket {
    blobs: ObjectBlobs,
    _service: S3,
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
        Self { blobs, _service: service }
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
