//! A partner's server, as far as pushes are concerned: it says what it is told to say, and shows what it got.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use landbridge_enlist::jwks::KeySet;
use landbridge_enlist::jwt::{Profile, Verifier};
use landbridge_sandbox::Sandbox;
use landbridge_transport::http_server::{Certificates, ServerHandle, serve_tls};
use landbridge_transport::{HttpClient, HttpLimits, serve};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A request.
#[derive(Debug)]
pub struct Got {
    pub method: Method,
    pub path: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: String,
}

impl Got {
    pub fn bearer(&self) -> &str {
        self.headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap()
    }

    /// Whether a partner with this audience believes the bearer, by the sandbox's published keys.
    pub async fn is_believed(&self, sandbox: &Sandbox, audience: &str) -> bool {
        let http = HttpClient::builder().build().unwrap();
        let document = http.get(&sandbox.jwks_url(), &[]).await.unwrap();
        let keys = KeySet::parse(&document.body).unwrap().set;
        let verifier = Verifier::new(Profile::push_bearer(audience));
        let token = verifier.open(self.bearer()).unwrap();
        let (key, now) = (keys.get(token.kid()), sandbox.handle().clock().now());
        verifier.verify(&token, Profile::PUSH_ISSUER, key, now).is_ok()
    }
}

#[derive(Clone)]
struct Desk {
    got: UnboundedSender<Got>,
    script: Arc<Mutex<VecDeque<Response>>>,
    otherwise: Arc<Mutex<u16>>,
}

pub struct Receiver {
    pub base: String,
    got: UnboundedReceiver<Got>,
    desk: Desk,
    _server: ServerHandle,
}

impl Receiver {
    pub async fn start() -> Self {
        let (sender, got) = unbounded_channel();
        let desk = Desk { got: sender, script: Arc::default(), otherwise: Arc::new(Mutex::new(200)) };
        let routes = Router::new().fallback(answer).with_state(desk.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = serve(listener, routes, HttpLimits::default(), std::future::pending()).unwrap();
        let base = format!("http://{}/whatsapp", server.local_addr());
        Self { base, got, desk, _server: server }
    }

    /// Under the name `localhost`, with this certificate.
    pub async fn start_tls(certificates: Arc<Certificates>) -> Self {
        let (sender, got) = unbounded_channel();
        let desk = Desk { got: sender, script: Arc::default(), otherwise: Arc::new(Mutex::new(200)) };
        let routes = Router::new().fallback(answer).with_state(desk.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let limits = HttpLimits::default();
        let server = serve_tls(listener, certificates, routes, limits, std::future::pending()).unwrap();
        let base = format!("https://localhost:{}/whatsapp", server.local_addr().port());
        Self { base, got, desk, _server: server }
    }

    /// What the next requests are answered with, in this order.
    pub fn then(&self, answer: impl IntoResponse) -> &Self {
        self.desk.script.lock().unwrap().push_back(answer.into_response());
        self
    }

    /// What all others are answered with.
    pub fn always(&self, status: u16) {
        *self.desk.otherwise.lock().unwrap() = status;
    }

    /// The next request.
    pub async fn next(&mut self) -> Got {
        self.got.recv().await.unwrap()
    }

    /// Requests that have come and were not looked at.
    pub fn waiting(&mut self) -> usize {
        let mut count = 0;
        while self.got.try_recv().is_ok() {
            count += 1;
        }
        count
    }
}

async fn answer(
    State(desk): State<Desk>,
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method == Method::GET {
        return StatusCode::NOT_FOUND.into_response();
    }
    let body = String::from_utf8(body.to_vec()).unwrap();
    let answer = desk.script.lock().unwrap().pop_front();
    let otherwise = StatusCode::from_u16(*desk.otherwise.lock().unwrap()).unwrap();
    desk.got.send(Got { method, path: uri.path().to_owned(), version, headers, body }).unwrap();
    answer.unwrap_or_else(|| otherwise.into_response())
}
