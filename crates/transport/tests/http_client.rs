//! The HTTP client against the server of this crate and against servers that misbehave.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::{get, post};
use landbridge_transport::http_client::{Conditional, HeaderCase, HttpClient, HttpError, Schemes, Versions};
use landbridge_transport::http_server::{HttpLimits, ServerHandle, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn start() -> (ServerHandle, String) {
    let tagged = |headers: HeaderMap| async move {
        if headers.get("if-none-match").is_some_and(|tag| tag == "\"1\"") {
            return (StatusCode::NOT_MODIFIED, [("etag", "\"1\"")], "");
        }
        (StatusCode::OK, [("etag", "\"1\"")], "fresh")
    };
    let router = Router::new()
        .route("/tagged", get(tagged))
        .route("/big", get(|| async { "x".repeat(70_000) }))
        .route("/away", get(|| async { Redirect::temporary("/tagged") }))
        .route("/busy", get(|| async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "later") }))
        .route(
            "/form",
            post(|headers: HeaderMap, body: String| async move {
                format!(
                    "{} {} {body}",
                    headers["content-type"].to_str().unwrap(),
                    headers["x-more"].to_str().unwrap()
                )
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(listener, router, HttpLimits::default(), std::future::pending()).unwrap();
    let base = format!("http://{}", server.local_addr());
    (server, base)
}

fn client() -> HttpClient {
    HttpClient::builder().build().unwrap()
}

#[tokio::test]
async fn gets_and_posts() {
    let (_server, base) = start().await;
    let answer = client().get(&format!("{base}/tagged"), &[]).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"fresh"[..]));
    let form = client().post(&format!("{base}/form"), "text/x", "a=b", &[("x-more", "1")]).await.unwrap();
    assert_eq!(&form.body[..], b"text/x 1 a=b");
    let busy = client().get(&format!("{base}/busy"), &[]).await.unwrap();
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_wait_until_a_date_is_counted_from_that_of_the_answer() {
    let at = |seconds: u64| format!("Sun, 06 Nov 1994 08:{:02}:{:02} GMT", 49 + seconds / 60, seconds % 60);
    for (wait, sent, expected) in [
        (at(37), Some(at(30)), Some(7)),
        (at(30), Some(at(37)), Some(0)),
        // Without one, from now: that date has passed.
        (at(30), None, Some(0)),
        ("7".to_owned(), Some(at(30)), Some(7)),
        ("-7".to_owned(), Some(at(30)), None),
        ("soon".to_owned(), Some(at(30)), None),
        ("Sun, 06 Nov 1994 08:49 GMT".to_owned(), Some(at(30)), None),
    ] {
        let date = sent.map(|date| format!("date: {date}\r\n")).unwrap_or_default();
        let head = format!("HTTP/1.1 503 Busy\r\n{date}retry-after: {wait}\r\ncontent-length: 0\r\n\r\n");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_000];
            let mut count = 0;
            while !request[..count].ends_with(b"\r\n\r\n") {
                count += socket.read(&mut request[count..]).await.unwrap();
            }
            socket.write_all(head.as_bytes()).await.unwrap();
        });
        let answer = client().get(&base, &[]).await.unwrap();
        assert_eq!(answer.retry_after(), expected.map(Duration::from_secs), "{wait}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn the_version_that_is_asked_for_is_spoken() {
    let version = |request: axum::extract::Request| async move { format!("{:?}", request.version()) };
    let router = Router::new().route("/", get(version));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(listener, router, HttpLimits::default(), std::future::pending()).unwrap();
    let url = format!("http://{}/", server.local_addr());
    for (versions, spoken) in
        [(Versions::Any, "HTTP/1.1"), (Versions::Http1, "HTTP/1.1"), (Versions::Http2, "HTTP/2.0")]
    {
        let client = HttpClient::builder().versions(versions).build().unwrap();
        assert_eq!(&client.get(&url, &[]).await.unwrap().body[..], spoken.as_bytes());
    }
}

#[tokio::test]
async fn header_names_are_written_in_the_case_and_order_that_are_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let client = HttpClient::builder().header_case(HeaderCase::Title).build().unwrap();
    let (answer, seen) = tokio::join!(
        client.get(&url, &[("x-one", "1"), ("user-agent", "me"), ("if-none-match", "\"a\"")]),
        async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            String::from_utf8(head).unwrap()
        }
    );
    assert_eq!(answer.unwrap().status, StatusCode::NO_CONTENT);
    let names: Vec<_> = seen.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    let at = |name| names.iter().position(|other| *other == name).unwrap_or_else(|| panic!("{name}: {seen}"));
    assert!(at("X-One") < at("User-Agent") && at("User-Agent") < at("If-None-Match"), "{seen}");
    assert_eq!(seen.matches("me").count(), 1, "{seen}");
}

#[tokio::test]
async fn an_entity_tag_saves_the_body() {
    let (_server, base) = start().await;
    let url = format!("{base}/tagged");
    let Conditional::Answer(first) = client().get_if_changed(&url, None).await.unwrap() else { panic!() };
    let again = client().get_if_changed(&url, first.etag()).await.unwrap();
    assert!(matches!(again, Conditional::NotModified));
}

#[tokio::test]
async fn redirects_are_answers_and_big_bodies_errors() {
    let (_server, base) = start().await;
    let away = client().get(&format!("{base}/away"), &[]).await.unwrap();
    assert_eq!(away.status, StatusCode::TEMPORARY_REDIRECT);
    let big = client().get(&format!("{base}/big"), &[]).await;
    assert!(matches!(big, Err(HttpError::BodyTooLarge { limit: 65_536, .. })), "{big:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused() {
    let only_tls = HttpClient::builder().schemes(Schemes::Https).build().unwrap();
    for (client, url) in
        [(client(), "ftp://x/"), (client(), "/path"), (client(), "no url"), (only_tls, "http://x/")]
    {
        assert!(matches!(client.get(url, &[]).await, Err(HttpError::Url)), "{url}");
    }
    let bad = client().get("http://127.0.0.1:1/", &[("a b", "c")]).await;
    assert!(matches!(bad, Err(HttpError::Header { name }) if name == "a b"));
    let bad = client().get("http://127.0.0.1:1/", &[("a", "c\r\nd: e")]).await;
    assert!(matches!(bad, Err(HttpError::Header { .. })));
    assert!(matches!(
        HttpClient::builder().extra_root(*b"no certificate").build(),
        Err(HttpError::Setup { .. })
    ));
}

#[tokio::test]
async fn a_dead_a_silent_and_a_broken_server_differ() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let hasty = HttpClient::builder().total_timeout(Duration::from_millis(200)).build().unwrap();
    assert!(matches!(hasty.get(&url, &[]).await, Err(HttpError::TimedOut { .. })));

    drop(listener.accept().await.unwrap());

    let answer = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 1024]).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    });
    assert!(matches!(client().get(&url, &[]).await, Err(HttpError::Broken { .. })));
    answer.await.unwrap();
    assert!(matches!(client().get(&url, &[]).await, Err(HttpError::Connect { .. })));
}
