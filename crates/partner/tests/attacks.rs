//! Clients that mean harm, over the socket.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::{ALICE, config, put_target, send, token};
use landbridge_partner::{PartnerConfig, TlsConfig};
use landbridge_transport::http_client::Versions;
use landbridge_transport::{HttpClient, HttpLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What follows a request that two readers may take for different ones: if it is answered, it got through.
const SMUGGLED: &str = "GET /openapi.json HTTP/1.1\r\nHost: p\r\n\r\n";

/// Header lines of a request that are to be refused, whatever else is in it.
fn ambiguous() -> Vec<(String, String)> {
    let mut table = Vec::new();
    let mut add = |lines: String, body: &str| table.push((lines, body.to_owned()));
    let lengths = ["0", "5", "44", "00", "4294967296", "18446744073709551615"];
    // A length twice, the same or not, in any spelling of its name.
    for first in lengths {
        for second in lengths {
            add(format!("Content-Length: {first}\r\nContent-Length: {second}\r\n"), "0\r\n\r\n");
        }
    }
    for name in ["content-length", "CONTENT-LENGTH", "Content-length"] {
        add(format!("Content-Length: 5\r\n{name}: 6\r\n"), "0\r\n\r\n");
        add(format!("{name}: 5\r\nTransfer-Encoding: chunked\r\n"), "0\r\n\r\n");
        add(format!("Transfer-Encoding: chunked\r\n{name}: 5\r\n"), "0\r\n\r\n");
    }
    // Lengths with more than one reading.
    for value in [
        "+5",
        "-5",
        "-0",
        "5,5",
        "5, 5",
        "5,6",
        "0x5",
        "5 5",
        "5.0",
        "5e0",
        "",
        " ",
        "five",
        "5;",
        "\"5\"",
        "\u{b2}",
        "99999999999999999999999",
        "5\t5",
        "_5",
        "5_",
    ] {
        add(format!("Content-Length: {value}\r\n"), "0\r\n\r\n");
    }
    // Codings that some know and some do not.
    for value in [
        "identity",
        "gzip",
        "chunked, identity",
        "identity, chunked",
        "chunked, chunked",
        "gzip, chunked",
        "chunked;q=1",
        "xchunked",
        "chunkedx",
        "\"chunked\"",
        "'chunked'",
        "chunked,",
        ",chunked",
        "chunk",
        "cow",
        "",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\u{0}",
        "chunked gzip",
        "[chunked]",
        "ch unked",
    ] {
        add(format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
        add(format!("Transfer-Encoding: {value}\r\nContent-Length: 5\r\n"), "0\r\n\r\n");
        add(format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: {value}\r\n"), "0\r\n\r\n");
    }
    // Names that only some take for that name.
    for name in ["Transfer-Encoding", "Content-Length"] {
        let value = if name == "Content-Length" { "5" } else { "chunked" };
        for odd in [
            format!("{name} : {value}\r\n"),
            format!("{name}\t: {value}\r\n"),
            format!(" {name}: {value}\r\n"),
            format!("\t{name}: {value}\r\n"),
            format!("{name}:\r\n {value}\r\n"),
            format!("{name}:\r\n\t{value}\r\n"),
            format!("X: y\r\n {name}: {value}\r\n"),
            format!("X: y\n{name}: {value}\r\n"),
            format!("X: y\r{name}: {value}\r\n"),
            format!("X: y\r\r\n{name}: {value}\r\n"),
            format!("{name}: {value}\n"),
            format!("{name}\u{0}: {value}\r\n"),
            format!("X: \u{0}\r\n{name}: {value}\r\n"),
            format!("{name}\u{b}: {value}\r\n"),
            format!("({name}): {value}\r\n"),
            format!("\"{name}\": {value}\r\n"),
            format!("{name}: {value}\r\n: empty\r\n"),
            format!("{name}: {value}\r\nno colon\r\n"),
        ] {
            add(odd, "0\r\n\r\n");
        }
    }
    for host in ["Host: p\r\n", "host: q\r\n", "Host : p\r\n", "Host:\r\n p\r\n"] {
        add(host.to_owned(), "");
    }
    table
}

/// Sends bytes, keeps its side open, and reads until the server closes.
async fn exchange(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    String::from_utf8_lossy(&common::read_all(&mut stream).await).into_owned()
}

#[tokio::test]
async fn requests_with_two_readings_are_refused_and_nothing_gets_through_behind_them() {
    let mut limits = HttpLimits::default();
    limits.idle = Duration::from_secs(2);
    let partner = common::builder(config()).await.http_limits(limits).start().await.unwrap();
    let addr = partner.addr();
    let table = ambiguous();
    assert!(table.len() >= 150, "{}", table.len());
    let mut attempts = Vec::new();
    for (lines, body) in table {
        for method in ["POST", "GET"] {
            let request = format!("{method} /v1/token HTTP/1.1\r\nHost: p\r\n{lines}\r\n{body}{SMUGGLED}");
            attempts.push(request);
        }
    }
    for line in [
        "GET /v1/me HTTP/1.1\r\n",
        "GET /v1/me  HTTP/1.1\r\nHost: p\r\n",
        "GET /v1/me\tHTTP/1.1\r\nHost: p\r\n",
        "GET /v1/me HTTP/1.1\nHost: p\r\n",
        "GET /v1/me HTTP/1.1\rHost: p\r\n",
        " GET /v1/me HTTP/1.1\r\nHost: p\r\n",
        "GET /v1/me HTTP/1.2\r\nHost: p\r\n",
        "GET /v1/me HTTP/2.0\r\nHost: p\r\n",
        "GET /v1/me HTTP/0.9\r\nHost: p\r\n",
        "GET /v1/me http/1.1\r\nHost: p\r\n",
        "GET /v1/me\r\nHost: p\r\n",
        "GE\u{0}T /v1/me HTTP/1.1\r\nHost: p\r\n",
        "GET /v1/\u{0}me HTTP/1.1\r\nHost: p\r\n",
        "G(T /v1/me HTTP/1.1\r\nHost: p\r\n",
    ] {
        attempts.push(format!("{line}\r\n{SMUGGLED}"));
    }
    let old = "POST /v1/token HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    attempts.push(format!("{old}{SMUGGLED}"));
    // Chunks with more than one reading: the request is answered, for its session is none, and is the last one.
    for chunk in [
        "5;\r\nabc\r\n0\r\n\r\n",
        "+5\r\nabcde\r\n",
        "0x5\r\nabcde\r\n",
        "5\nabcde\n0\n\n",
        "-1\r\n",
        "\r\n\r\n",
        "fffffffffffffffff\r\n",
        "5 \r\nabcde\r\n",
        "g\r\n",
    ] {
        let head = "POST /v1/token HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n";
        attempts.push(format!("{head}{chunk}{SMUGGLED}"));
    }
    assert!(attempts.len() >= 300, "{}", attempts.len());
    for request in &attempts {
        let answer = exchange(addr, request.as_bytes()).await;
        let statuses: Vec<&str> =
            answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
        assert!(statuses.len() <= 1, "{request:?} got {statuses:?}");
        assert!(
            statuses.iter().all(|status| matches!(*status, "400" | "401" | "505")),
            "{request:?}: {answer}"
        );
        let is_chunked_only =
            request.contains("\r\nTransfer-Encoding: chunked\r\n\r\n") && !request.contains("HTTP/1.0");
        assert!(is_chunked_only || !statuses.contains(&"401"), "{request:?} reached the router: {answer}");
        assert!(!answer.contains("openapi"), "{request:?} let another through");
        if !is_chunked_only {
            let status = statuses.first().and_then(|status| status.parse().ok()).unwrap();
            let answer = common::parse(answer.as_bytes());
            answer.assert_problem(status, "bad-request");
            assert_eq!(answer.header("connection"), Some("close"), "{request:?}");
        }
    }
    // Two plain ones on a connection are two.
    let two = format!(
        "GET /v1/me HTTP/1.1\r\nHost: p\r\n\r\n{}",
        SMUGGLED.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    );
    let answer = exchange(addr, two.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("HTTP/1.1 200"), "{answer}");
}

/// Every call with every credential that is not its own.
#[tokio::test]
async fn nobody_is_somebody_else() {
    let partner = common::start_with(config()).await.unwrap();
    let addr = partner.addr();
    put_target(addr, ALICE, "phone", r#"{"kind":"socket"}"#).await;
    let issued = token(addr, ALICE).await.json()["token"].as_str().unwrap().to_owned();
    let document = send(addr, "GET /openapi.json", &[], "").await.json();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{device}", "phone").replace("{id}", &"A".repeat(22));
        let path = path.replace("{hash}", &"A".repeat(43)).replace("{storage_reference}", &"A".repeat(43));
        for (method, operation) in methods.as_object().unwrap() {
            let Some(security) = operation.get("security") else { continue };
            let is_push = security[0].get("whatsapp").is_some();
            let token_of_ours = format!("Bearer {issued}");
            for credential in [
                "",
                "Bearer",
                "Bearer ",
                "Bearer null",
                "Bearer alice",
                "Bearer session-of-alic",
                "Bearer session-of-alice2",
                "Basic c2Vzc2lvbi1vZi1hbGljZQ==",
                "session-of-alice",
                "Bearer session-of-alice, Bearer b",
                &token_of_ours,
            ] {
                let line = format!("{} {path}?device=phone", method.to_uppercase());
                let headers = [
                    ("Authorization", credential),
                    ("Content-Type", "application/json"),
                    ("Tus-Resumable", "1.0.0"),
                ];
                let answer = send(addr, &line, &headers, "{}").await;
                // WhatsApp's keys are not at hand, which is said before a bearer is looked at.
                let refused = if is_push { matches!(answer.status, 401 | 503) } else { answer.status == 401 };
                assert!(refused, "{line} with {credential:?}: {answer:?}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 130, "{tried}");
    // A user's credential in the other user's name: what is alice's is not there for bob.
    let bob = [("Authorization", "Bearer b")];
    assert_eq!(
        send(addr, "DELETE /v1/wake-targets/phone", &bob, "").await.status,
        204,
        "his own, which he has not"
    );
    let me = send(addr, "GET /v1/me", &bob, "").await.json();
    assert_ne!(me["identifier"], "alice");
    // Headers that a proxy might have set are nobody's word.
    for name in ["X-User", "X-Forwarded-User", "X-Landbridge-User", "Cookie", "Proxy-Authorization"] {
        send(addr, "GET /v1/me", &[(name, "alice")], "").await.assert_problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn slow_clients_delay_nobody() {
    let mut limits = HttpLimits::default();
    limits.first_byte = Duration::from_secs(2);
    limits.header = Duration::from_secs(2);
    let partner = common::builder(config()).await.http_limits(limits).start().await.unwrap();
    let addr = partner.addr();
    let mut slow = Vec::new();
    for n in 0..500 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        match n % 4 {
            0 => {}
            1 => stream.write_all(b"P").await.unwrap(),
            2 => stream.write_all(b"GET /v1/me HTTP/1.1\r\nHost: ").await.unwrap(),
            _ => stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap(),
        }
        slow.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(token(addr, ALICE).await.status, 200, "others are served");
    }
    let begun = Instant::now();
    for (n, stream) in slow.iter_mut().enumerate() {
        // HTTP/2 without a request is an idle connection, which has longer.
        if n % 4 != 3 {
            let mut rest = Vec::new();
            let reading = stream.read_to_end(&mut rest);
            let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it is cut");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
}

/// HTTP/2: a stream that is opened and reset at once costs the server a start each time.
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let partner = common::start_with(config()).await.unwrap();
    let mut stream = TcpStream::connect(partner.addr()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut flood = Vec::new();
    for n in 0..2000_u32 {
        let id = (2 * n + 1).to_be_bytes();
        // GET https /, from the static table, and a reset.
        flood.extend_from_slice(&[&[0, 0, 3, 1, 5][..], &id, &[0x82, 0x87, 0x84]].concat());
        flood.extend_from_slice(&[&[0, 0, 4, 3, 0][..], &id, &[0, 0, 0, 8]].concat());
    }
    let _ = stream.write_all(&flood).await;
    let answer = common::read_all(&mut stream).await;
    let mut frames = answer.as_slice();
    let mut goaway = None;
    while let Some((head, rest)) = frames.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if head[3] == 7 {
            goaway = Some(payload[7]);
        }
        frames = rest;
    }
    assert_eq!(goaway, Some(11), "ENHANCE_YOUR_CALM");
    assert_eq!(token(partner.addr(), ALICE).await.status, 200, "alive");
}

#[tokio::test]
async fn tls_on_both_versions_of_http() {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tls = TlsConfig {
        certificate: file("chain.pem", certificate.pem()),
        key: file("key.pem", key.serialize_pem()),
        min_version: Default::default(),
    };
    let partner = common::start_with(PartnerConfig { tls: Some(tls), ..config() }).await.unwrap();
    assert_eq!(partner.base_url(), format!("https://{}", partner.addr()));
    let client = HttpClient::builder().extra_root(certificate.der().to_vec()).build().unwrap();
    let url = format!("https://localhost:{}", partner.addr().port());
    let answer = client.get(&format!("{url}/openapi.json"), &[]).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("server")), (200, None));
    let metrics = send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
    let counted = "landbridge_http_requests_total{route=\"/openapi.json\",method=\"GET\",code=\"200\",protocol=\"2\"} 1";
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    for name in [
        "landbridge_connections",
        "landbridge_tls_certificate_expiry_timestamp_seconds",
        "landbridge_build_info",
    ] {
        assert!(metrics.contains(&format!("\n{name}")), "{name}");
    }
    let ready = send(partner.admin_addr(), "GET /health/ready", &[], "").await;
    assert_eq!(ready.json()["checks"]["certificate"], "ok");
    // Without TLS, only where nobody listens in.
    let anywhere = PartnerConfig {
        addr: "0.0.0.0:0".parse().unwrap(),
        base_url: Some("https://partner.example".to_owned()),
        ..config()
    };
    let refused = common::start_with(anywhere.clone()).await.unwrap_err();
    assert!(matches!(refused, landbridge_partner::StartError::PlainHttp { .. }));
    common::start_with(PartnerConfig { allow_plain_http: true, ..anywhere }).await.unwrap();
}

/// Even what no route sees is answered with a problem that has an id.
#[tokio::test]
async fn refusals_of_the_transport_are_problems() {
    let partner = common::start().await;
    for (status, head) in [
        (
            400,
            "POST /v1/token HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
        ),
        (400, "GET /v1/me\r\n\r\n".to_owned()),
        (505, "GET /v1/me HTTP/3.0\r\nHost: p\r\n\r\n".to_owned()),
        (417, "GET /v1/me HTTP/1.1\r\nHost: p\r\nExpect: tea\r\n\r\n".to_owned()),
        (414, format!("GET /{} HTTP/1.1\r\nHost: p\r\n\r\n", "a".repeat(9 * 1024))),
        (414, format!("GET /{} HTTP/1.1\r\nHost: p\r\n\r\n", "a".repeat(90 * 1024))),
        (431, format!("GET / HTTP/1.1\r\nHost: p\r\nA: {}\r\n\r\n", "a".repeat(170 * 1024))),
        (431, format!("GET / HTTP/1.1\r\nHost: p\r\nA: {}\r\n\r\n", "a".repeat(17 * 1024))),
    ] {
        common::raw(partner.addr(), head.as_bytes()).await.assert_problem(status, "bad-request");
    }
    let http = HttpClient::builder().versions(Versions::Http2).build().unwrap();
    let (long, large) = ("a".repeat(9 * 1024), "a".repeat(17 * 1024));
    for (status, path, field) in [(414, long.as_str(), "x"), (431, "", &large)] {
        let url = format!("http://{}/{path}", partner.addr());
        let answer = http.get(&url, &[("a", field)]).await.unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["instance"].as_str(), answer.header("x-request-id"));
    }
}
