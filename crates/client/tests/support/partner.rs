//! A partner's HTTP side and its tokens, as a test wants them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use landbridge::enlist::jwt::Token;
use landbridge::transport::http_server::{HttpLimits, ServerHandle, serve};
use landbridge::{Freshness, TokenError, TokenSource};
use tokio::net::TcpListener;

type Answers = Arc<Mutex<VecDeque<(StatusCode, &'static str)>>>;
pub type Seen = Arc<Mutex<Vec<String>>>;

pub const OK: (StatusCode, &str) = (StatusCode::OK, r#"{"login":"1-10853634039893@interop","status":"ok"}"#);

pub fn refusal(body: &'static str) -> (StatusCode, &'static str) {
    (StatusCode::OK, body)
}

/// An HTTP server that gives prepared answers and keeps what it was sent.
pub async fn http(
    answers: impl IntoIterator<Item = (StatusCode, &'static str)>,
) -> (ServerHandle, String, Seen) {
    let answers: Answers = Arc::new(Mutex::new(answers.into_iter().collect()));
    let seen: Seen = Arc::default();
    let kept = Arc::clone(&seen);
    let handler = move |headers: HeaderMap, body: String| async move {
        let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        kept.lock().unwrap().push(format!("{}{body}", authorization.unwrap_or_default()));
        match answers.lock().unwrap().pop_front() {
            Some((status, body)) => (status, body).into_response(),
            None => Response::new("no more answers".into()),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let router = Router::new().route("/", post(handler));
    let handle = serve(listener, router, HttpLimits::default(), std::future::pending()).unwrap();
    let url = format!("http://{}/", handle.local_addr());
    (handle, url, seen)
}

/// A token source that counts.
#[derive(Clone, Default)]
pub struct Counting(pub Arc<Mutex<Vec<Freshness>>>);

#[async_trait]
impl TokenSource for Counting {
    async fn token(&self, freshness: Freshness) -> Result<Token, TokenError> {
        let mut asked = self.0.lock().unwrap();
        asked.push(freshness);
        Ok(Token::new(format!("token-{}", asked.len())))
    }
}
