//! The client's way to send files, against the partner server as it is run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use landbridge::media::{EncryptedFile, HttpUploader, TransferError, Uploader};
use landbridge::transport::HttpClient;
use landbridge_partner::media::MediaConfig;
use landbridge_partner::{Partner, PartnerConfig};
use sha2::{Digest as _, Sha256};

/// A file in memory.
struct File {
    bytes: Bytes,
    digest: [u8; 32],
}

impl File {
    fn new(blocks: usize, digest: Option<[u8; 32]>) -> Self {
        let bytes: Bytes = (0..blocks * 16 + 10).map(|n| u8::try_from(n / 7 % 251).unwrap()).collect();
        let digest = digest.unwrap_or_else(|| Sha256::digest(&bytes).into());
        Self { bytes, digest }
    }
}

#[async_trait]
impl EncryptedFile for File {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn sha256(&self) -> &[u8; 32] {
        &self.digest
    }

    async fn read(&self, from: u64, at_most: usize) -> std::io::Result<Bytes> {
        let from = usize::try_from(from).unwrap();
        Ok(self.bytes.slice(from..self.bytes.len().min(from + at_most)))
    }
}

async fn start(media: MediaConfig) -> (Partner, HttpUploader) {
    let partner = Partner::start(PartnerConfig {
        addr: "127.0.0.1:0".parse().unwrap(),
        admin_addr: "127.0.0.1:0".parse().unwrap(),
        dev_users: [("session-of-alice".to_owned(), "alice".to_owned())].into(),
        insecure_dev_auth: true,
        media,
        ..PartnerConfig::default()
    })
    .await
    .unwrap();
    let http = HttpClient::builder().build().unwrap();
    let uploader = HttpUploader::new(http, format!("http://{}", partner.addr()), "session-of-alice");
    (partner, uploader)
}

/// A small one in one request, a large one in pieces: both are fetched to the byte, and a repeat has the same place.
#[tokio::test]
async fn files_that_the_client_sends_are_served() {
    let (partner, uploader) = start(MediaConfig::default()).await;
    let fetcher = HttpClient::builder().max_body(8 * 1024 * 1024).build().unwrap();
    for blocks in [1, 1000, 65_536, 300_000] {
        let (file, reached) = (File::new(blocks, None), AtomicU64::new(0));
        let progress = |bytes| reached.store(bytes, Ordering::SeqCst);
        let place = uploader.upload(&file, &progress).await.unwrap();
        assert_eq!(reached.load(Ordering::SeqCst), file.length());
        let path = place.as_str().to_owned();
        let reference = path.trim_end_matches('/').rsplit('/').next().unwrap();
        let url = format!("http://{}/{reference}", partner.addr());
        let answer = fetcher.get(&url, &[]).await.unwrap();
        assert!(answer.status == 200 && answer.body == file.bytes, "{blocks} blocks");
        assert_eq!(uploader.upload(&file, &progress).await.unwrap().as_str(), path);
    }
}

#[tokio::test]
async fn what_the_server_refuses_the_client_understands() {
    let config = MediaConfig { max_bytes: 4_000_010, quota_per_day: 2_000_000, ..MediaConfig::default() };
    let (_partner, uploader) = start(config).await;
    for blocks in [1000, 100_000] {
        let wrong = File::new(blocks, Some([7; 32]));
        assert!(matches!(uploader.upload(&wrong, &|_| {}).await, Err(TransferError::Malformed { .. })));
    }
    let (large, much) = (File::new(300_000, None), File::new(200_000, None));
    assert!(matches!(uploader.upload(&large, &|_| {}).await, Err(TransferError::TooLarge)));
    assert!(matches!(uploader.upload(&much, &|_| {}).await, Err(TransferError::QuotaExceeded)));
}
