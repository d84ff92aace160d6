//! The HTTP shells against servers on this machine.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use landbridge_media::{
    Downloader, EncryptedFile, MediaKey, MediaKind, Span, TransferError, Uploader, decrypt,
};
use landbridge_stanza::profile::MediaProfile;
use landbridge_transport::{HttpClient, HttpLimits, serve};

use super::super::spool::{Berth, Order, Spool, SpoolFile};
use super::super::{HttpDownloader, HttpUploader};

const REFERENCE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

async fn start(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(listener, router, HttpLimits::default(), std::future::pending()).unwrap();
    format!("http://{}", server.local_addr())
}

fn client() -> HttpClient {
    HttpClient::builder().build().unwrap()
}

fn spool(length: usize) -> (SpoolFile, [u8; 32]) {
    let order =
        Order { kind: MediaKind::Document, key: MediaKey::from_bytes(&[5; 32]).unwrap(), limit: u64::MAX };
    let plain: Vec<u8> = (0..length).map(|n| (n / 5) as u8).collect();
    let spool = Spool::fill(&order, &plain[..], Berth::Nameless, &false.into(), |_| {}).unwrap();
    let plain = spool.sealed.file_sha256;
    (spool.keep(), plain)
}

/// The upload half of a partner's server.
#[derive(Default)]
struct Partner {
    stored: Mutex<Vec<u8>>,
    length: AtomicU64,
    creations: AtomicUsize,
    patches: AtomicUsize,
    /// Which PATCH, counted from 1, is answered with trouble although its piece was taken.
    trouble_at: usize,
}

fn is_alice(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == "Bearer session-of-alice")
}

fn stored(length: u64) -> Response {
    let body = serde_json::json!({
        "storage_reference": REFERENCE,
        "download_path": format!("/interop/whatsapp/download/7/{REFERENCE}/"),
        "size": length,
    });
    (StatusCode::CREATED, axum::Json(body)).into_response()
}

impl Partner {
    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/v1/media/by-hash/{hash}", put(Self::put))
            .route("/v1/uploads", post(Self::create))
            .route("/v1/uploads/{id}", get(Self::done).head(Self::head).patch(Self::patch))
            .with_state(Arc::clone(self))
    }

    async fn put(State(this): State<Arc<Self>>, headers: HeaderMap, body: axum::body::Bytes) -> Response {
        if !is_alice(&headers) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        *this.stored.lock().unwrap() = body.to_vec();
        stored(body.len() as u64)
    }

    async fn create(State(this): State<Arc<Self>>, headers: HeaderMap) -> Response {
        if !is_alice(&headers) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let length = headers["upload-length"].to_str().unwrap().parse().unwrap();
        assert_eq!(headers["tus-resumable"], "1.0.0");
        this.length.store(length, Ordering::SeqCst);
        let number = this.creations.fetch_add(1, Ordering::SeqCst);
        (StatusCode::CREATED, [(header::LOCATION, format!("/v1/uploads/{number}"))]).into_response()
    }

    fn offset(&self) -> [(&'static str, String); 1] {
        [("upload-offset", self.stored.lock().unwrap().len().to_string())]
    }

    async fn head(State(this): State<Arc<Self>>) -> Response {
        this.offset().into_response()
    }

    async fn patch(State(this): State<Arc<Self>>, headers: HeaderMap, body: axum::body::Bytes) -> Response {
        let at: usize = headers["upload-offset"].to_str().unwrap().parse().unwrap();
        {
            let mut stored = this.stored.lock().unwrap();
            if at != stored.len() {
                return StatusCode::CONFLICT.into_response();
            }
            stored.extend_from_slice(&body);
        }
        if this.patches.fetch_add(1, Ordering::SeqCst) + 1 == this.trouble_at {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        (StatusCode::NO_CONTENT, this.offset()).into_response()
    }

    async fn done(State(this): State<Arc<Self>>) -> Response {
        stored(this.length.load(Ordering::SeqCst))
    }
}

async fn upload(partner: &Arc<Partner>, session: &str, file: &SpoolFile) -> Result<String, TransferError> {
    let router = partner.router().layer(axum::extract::DefaultBodyLimit::disable());
    let uploader = HttpUploader::new(client(), start(router).await, session);
    uploader.upload(file, &|_| {}).await.map(|path| path.as_str().to_owned())
}

#[tokio::test]
async fn small_files_go_in_one_request() {
    let (partner, file) = (Arc::new(Partner::default()), spool(10_000).0);
    let path = upload(&partner, "session-of-alice", &file).await.unwrap();
    assert_eq!(path, format!("/interop/whatsapp/download/7/{REFERENCE}/"));
    assert_eq!(partner.stored.lock().unwrap().len() as u64, file.length());
    let denied = upload(&partner, "session-of-mallory", &file).await.unwrap_err();
    assert!(matches!(denied, TransferError::Denied { status: 401 }), "{denied:?}");
}

#[tokio::test]
async fn large_files_go_in_pieces_and_an_answer_that_is_lost_costs_none() {
    let partner = Arc::new(Partner { trouble_at: 2, ..Partner::default() });
    let (file, plain) = spool(3_500_000);
    upload(&partner, "session-of-alice", &file).await.unwrap();
    let stored = partner.stored.lock().unwrap().clone();
    assert_eq!(stored.len() as u64, file.length());
    let expected = super::super::Expected::by_key_alone(
        MediaKind::Document,
        MediaKey::from_bytes(&[5; 32]).unwrap(),
        u64::MAX,
    );
    let expected = expected.with_sha256(plain).with_enc_sha256(*file.sha256());
    assert_eq!(decrypt(&expected, &stored).unwrap().len(), 3_500_000);
    assert_eq!(partner.patches.load(Ordering::SeqCst), 4, "no piece was sent twice");
    assert_eq!(partner.creations.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_session_is_not_taken_elsewhere() {
    for place in
        ["http://evil.example/v1/uploads/1", "//evil.example/v1/uploads/1", "http://127.0.0.1.evil.example/"]
    {
        let answer = move || async move { (StatusCode::CREATED, [(header::LOCATION, place)]) };
        let router = Router::new().route("/v1/uploads", post(answer));
        let uploader = HttpUploader::new(client(), start(router).await, "session-of-alice");
        let failed = uploader.upload(&spool(2_000_000).0, &|_| {}).await.unwrap_err();
        assert!(matches!(failed, TransferError::Malformed { .. }), "{place}: {failed:?}");
    }
}

/// The fetching half: answers by the path.
async fn media(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assert_eq!(headers["accept-encoding"], "identity");
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    match name.as_str() {
        "whole"
            if text("range").as_deref() == Some("bytes=4-")
                && text("if-range").as_deref() == Some("\"a\"") =>
        {
            let place = [(header::CONTENT_RANGE, "bytes 4-9/10"), (header::ETAG, "\"a\"")];
            (StatusCode::PARTIAL_CONTENT, place, "456789").into_response()
        }
        "whole" if text("range").as_deref() == Some("bytes=2-4") => {
            (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, "bytes 2-4/10")], "234").into_response()
        }
        "whole" => ([(header::ETAG, "\"a\"")], "0123456789").into_response(),
        "placeless" => (StatusCode::PARTIAL_CONTENT, "456789").into_response(),
        "gone" => StatusCode::GONE.into_response(),
        "busy" => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "7")]).into_response(),
        "elsewhere" => (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.1:1/secret")]).into_response(),
        // Three bytes of ten; the server then closes the connection.
        "cut" => ([(header::CONTENT_LENGTH, "10")], "012").into_response(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn statuses_and_ranges_are_read() {
    let base = start(Router::new().route("/v/{name}", get(media))).await;
    let downloader = HttpDownloader::new(client()).base(&base);
    let fetch = async |name: &str, span: Span| {
        let mut coming = downloader.fetch(&format!("/v/{name}").parse().unwrap(), &span).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = coming.next().await? {
            bytes.extend_from_slice(&piece);
        }
        let text = String::from_utf8(bytes).unwrap();
        Ok::<_, TransferError>((coming.begins_at(), coming.length(), text))
    };
    let whole = (0, Some(10), "0123456789".to_owned());
    assert_eq!(fetch("whole", Span::default()).await.unwrap(), whole);
    let resumed = Span::from(4).of(Some("\"a\"".to_owned()));
    assert_eq!(fetch("whole", resumed).await.unwrap(), (4, Some(10), "456789".to_owned()));
    let other = Span::from(4).of(Some("\"b\"".to_owned()));
    assert_eq!(fetch("whole", other).await.unwrap(), whole, "a server with another file gives all of it");
    assert_eq!(fetch("whole", Span::from(2).to(5)).await.unwrap(), (2, Some(10), "234".to_owned()));
    assert!(matches!(fetch("gone", Span::default()).await, Err(TransferError::Gone { status: 410 })));
    let busy = fetch("busy", Span::default()).await.unwrap_err();
    assert!(matches!(busy, TransferError::Unavailable { status: 503, retry_after: Some(7) }), "{busy:?}");
    for name in ["placeless", "elsewhere"] {
        let failed = fetch(name, Span::default()).await.unwrap_err();
        assert!(matches!(failed, TransferError::Malformed { .. }), "{name}: {failed:?}");
    }
    let cut = fetch("cut", Span::default()).await.unwrap_err();
    assert!(matches!(cut, TransferError::Network { .. }), "{cut:?}");
}

/// Slower than any limit on the whole: as long as something comes now and then, nothing is wrong. Silence is.
#[tokio::test]
async fn a_slow_server_is_none_that_is_silent() {
    const PIECES: usize = 8;
    let slow = async |Path(name): Path<String>| {
        let pieces = futures_util::stream::unfold(0, move |n| {
            let silent = name == "silent" && n == 1;
            async move {
                let wait = if silent { Duration::from_secs(60) } else { Duration::from_millis(250) };
                tokio::time::sleep(wait).await;
                (n < PIECES).then(|| (Ok::<_, std::convert::Infallible>("slow"), n + 1))
            }
        });
        axum::body::Body::from_stream(pieces)
    };
    let base = start(Router::new().route("/v/{name}", get(slow))).await;
    let profile = MediaProfile { stall_s: 1, ..MediaProfile::default() };
    let http = HttpClient::builder().total_timeout(Duration::from_secs(1)).build().unwrap();
    let downloader = HttpDownloader::new(http).profile(&profile).base(base);
    let fetch = async |name: &str| {
        let mut coming = downloader.fetch(&format!("/v/{name}").parse().unwrap(), &Span::default()).await?;
        let mut length = 0;
        while let Some(piece) = coming.next().await? {
            length += piece.len();
        }
        Ok::<_, TransferError>(length)
    };
    let (slow, silent) = tokio::join!(fetch("slow"), fetch("silent"));
    assert_eq!(slow.unwrap(), PIECES * 4);
    assert!(matches!(silent, Err(TransferError::Network { .. })), "{silent:?}");
}
