//! Two servers over one S3 store, and what their users see when it is away.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use landbridge_engines::{ObjectBlobs, ObjectsConfig, PART_BYTES};
use landbridge_localservices::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};
use landbridge_partner::store::SqliteStore;
use landbridge_partner::{Partner, PartnerConfig};
use landbridge_transport::HttpClient;
use landbridge_transport::http_client::{Method, Response};

/// The servers, and what they share.
struct Setup {
    s3: S3,
    servers: [Partner; 2],
    http: HttpClient,
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

/// Bytes of a media file's length.
fn file(blocks: usize, seed: usize) -> Vec<u8> {
    (0..blocks * 16 + 10).map(|n| (n / 5 + n * seed) as u8).collect()
}

impl Setup {
    async fn start() -> Self {
        let s3 = S3::start().await.unwrap();
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), SECRET_KEY).unwrap();
        let blobs = ObjectBlobs::open(&ObjectsConfig {
            bucket: BUCKET.to_owned(),
            endpoint: Some(s3.endpoint()),
            access_key_id: Some(ACCESS_KEY.to_owned()),
            secret_access_key_file: Some(secret.path().to_owned()),
            allow_http: true,
            patience_seconds: 1,
            ..ObjectsConfig::default()
        })
        .unwrap();
        let store = SqliteStore::in_memory().unwrap();
        let one = async || {
            let config = PartnerConfig {
                addr: "127.0.0.1:0".parse().unwrap(),
                admin_addr: "127.0.0.1:0".parse().unwrap(),
                dev_users: [("session-of-alice".to_owned(), "alice".to_owned())].into(),
                insecure_dev_auth: true,
                ..PartnerConfig::default()
            };
            let builder = Partner::builder(config).store(Arc::new(store.clone()));
            builder.blobs(Arc::new(blobs.clone())).start().await.unwrap()
        };
        let servers = [one().await, one().await];
        let http = HttpClient::builder().max_body(32 * 1024 * 1024).build().unwrap();
        Self { s3, servers, http }
    }

    async fn call(
        &self,
        server: usize,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let url = format!("http://{}{path}", self.servers[server].addr());
        let own = [("authorization", "Bearer session-of-alice"), ("tus-resumable", "1.0.0")];
        let headers = [own.as_slice(), headers].concat();
        self.http.request(method, &url, &headers, bytes::Bytes::copy_from_slice(body)).await.unwrap()
    }

    async fn put(&self, server: usize, bytes: &[u8]) -> Response {
        let path = format!("/v1/media/by-hash/{}", BASE64_URL_SAFE_NO_PAD.encode(digest(bytes)));
        self.call(server, Method::PUT, &path, &[("content-type", "application/octet-stream")], bytes).await
    }

    async fn get(&self, server: usize, reference: &str) -> Response {
        self.call(server, Method::GET, &format!("/{reference}"), &[], b"").await
    }

    async fn create(&self, server: usize, bytes: &[u8]) -> String {
        let (length, metadata) =
            (bytes.len().to_string(), format!("sha256 {}", BASE64_STANDARD.encode(digest(bytes))));
        let headers = [("upload-length", length.as_str()), ("upload-metadata", metadata.as_str())];
        let answer = self.call(server, Method::POST, "/v1/uploads", &headers, b"").await;
        answer.header("location").unwrap().to_owned()
    }

    async fn patch(&self, server: usize, location: &str, offset: usize, bytes: &[u8]) -> Response {
        let offset = offset.to_string();
        let headers = [("upload-offset", &*offset), ("content-type", "application/offset+octet-stream")];
        self.call(server, Method::PATCH, location, &headers, bytes).await
    }

    async fn offset(&self, server: usize, location: &str) -> Response {
        self.call(server, Method::HEAD, location, &[], b"").await
    }
}

fn reference(answer: &Response) -> String {
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    json["storage_reference"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_one_server_takes_the_other_serves() {
    let setup = Setup::start().await;
    let bytes = file(PART_BYTES / 16 + 100_000, 3);
    let stored = setup.put(0, &bytes).await;
    assert_eq!(stored.status, 201);
    let got = setup.get(1, &reference(&stored)).await;
    assert!(got.status == 200 && got.body == bytes);
    let range = [("range", "bytes=8388600-8388620")];
    let part = setup.call(1, Method::GET, &format!("/{}", reference(&stored)), &range, b"").await;
    assert!(part.status == 206 && part.body == bytes[8_388_600..=8_388_620]);

    // In pieces, from one server to the other.
    let other = file(10_000, 7);
    let location = setup.create(0, &other).await;
    let mut at = 0;
    for (n, piece) in other.chunks(50_000).enumerate() {
        let answer = setup.patch(n % 2, &location, at, piece).await;
        at += piece.len();
        assert_eq!((answer.status.as_u16(), answer.header("upload-offset")), (204, Some(&*at.to_string())));
    }
    let answer = setup.offset(1, &location).await;
    let got = setup.get(0, answer.header("storage-reference").unwrap()).await;
    assert!(got.status == 200 && got.body == other);
}

/// The users are told to come back, nothing that was acknowledged is lost, and nobody has to do anything.
#[tokio::test]
async fn a_store_that_is_away() {
    let mut setup = Setup::start().await;
    let (bytes, half) = (file(1000, 1), file(1000, 2));
    let reference = reference(&setup.put(0, &bytes).await);
    let location = setup.create(0, &half).await;
    assert_eq!(setup.patch(0, &location, 0, &half[..9000]).await.status, 204);
    setup.s3.stop().await;
    for answer in [
        setup.get(1, &reference).await,
        setup.put(1, &file(500, 3)).await,
        setup.offset(1, &location).await,
        setup.patch(0, &location, 9000, &half[9000..]).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("30")));
    }
    setup.s3.restart().await.unwrap();
    assert!(setup.get(1, &reference).await.body == bytes);
    assert_eq!(setup.offset(1, &location).await.header("upload-offset"), Some("9000"));
    let last = setup.patch(1, &location, 9000, &half[9000..]).await;
    assert!(setup.get(0, last.header("storage-reference").unwrap()).await.body == half);
    assert_eq!(setup.put(1, &file(500, 3)).await.status, 201);
}
