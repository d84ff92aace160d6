//! Hosting over a socket: what is stored, what is served, and what is neither.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::hosting::{BOB, Tus, call, file, get, hash, put, sha256, stored};
use common::place::Place;
use common::whatsapp::Hand;
use common::{ALICE, config, send, until};
use landbridge_partner::PartnerConfig;
use landbridge_partner::media::MediaConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn what_was_stored_is_served_to_the_byte() {
    let partner = common::start_with(config()).await.unwrap();
    let (addr, bytes) = (partner.addr(), file(1, 10_000));
    let answer = put(addr, ALICE, &bytes).await;
    let json = answer.json();
    let reference = json["storage_reference"].as_str().unwrap();
    assert_eq!((answer.status, reference.len()), (201, 43));
    assert_eq!(json["download_path"], format!("/interop/whatsapp/download/1/{reference}/"));
    assert_eq!((json["size"].as_u64(), json["sha256"].as_str()), (Some(160_010), Some(&*hash(&bytes))));
    assert!(json["expires_at"].as_str().unwrap().ends_with('Z'));

    for path in [
        reference.to_owned(),
        format!("{reference}/"),
        format!("{reference}?hash=x&y"),
        format!("{reference}/?z"),
    ] {
        let (answer, body) = get(addr, &path, &[]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(body == bytes, "{path}");
        for (name, value) in [
            ("content-type", "application/octet-stream"),
            ("content-length", "160010"),
            ("accept-ranges", "bytes"),
            ("etag", &*format!("\"{}\"", hash(&bytes))),
            ("cache-control", "public, max-age=86400, immutable, no-transform"),
            ("x-content-type-options", "nosniff"),
            ("content-disposition", "attachment"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        for absent in ["set-cookie", "content-encoding", "server", "content-range"] {
            assert_eq!(answer.header(absent), None);
        }
        let (head, body) = call(addr, &format!("HEAD /{path}"), &[("Range", "bytes=0-1")], b"").await;
        assert_eq!((head.status, head.header("content-length"), body.len()), (200, Some("160010"), 0));
        assert_eq!(head.header("etag"), answer.header("etag"));
    }

    // A repeat has the same outcome; somebody else's is another object, and says nothing about this one.
    let again = put(addr, ALICE, &bytes).await;
    assert_eq!((again.status, again.json()), (200, json.clone()));
    assert_ne!(stored(addr, BOB, &bytes).await, reference);
}

#[tokio::test]
async fn ranges_and_validators() {
    let partner = common::start_with(config()).await.unwrap();
    let (addr, bytes) = (partner.addr(), file(2, 100));
    let reference = stored(addr, ALICE, &bytes).await;
    let etag = format!("\"{}\"", hash(&bytes));
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=1600-", 1600, 1610),
        ("bytes=1600-9999999", 1600, 1610),
        ("bytes=-10", 1600, 1610),
        ("bytes=-99999", 0, 1610),
    ] {
        let (answer, body) = get(addr, &reference, &[("Range", range), ("If-Range", &etag)]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.header("content-range"), Some(&*format!("bytes {start}-{}/1610", end - 1)));
        assert_eq!(answer.header("content-length"), Some(&*(end - start).to_string()));
        assert_eq!(answer.header("etag"), Some(&*etag));
        assert!(body == bytes[start..end], "{range}");
    }
    for range in ["bytes=1610-", "bytes=-0"] {
        let (answer, _) = get(addr, &reference, &[("Range", range)]).await;
        answer.assert_problem(416, "range-not-satisfiable");
        assert_eq!(answer.header("content-range"), Some("bytes */1610"));
    }
    for (name, value) in [
        ("Range", "bytes=0-1,3-4"),
        ("Range", "lines=0-1"),
        ("Range", "bytes=x-"),
        ("If-Match", "\"x\""),
        ("If-None-Match", "\"x\""),
    ] {
        let (answer, body) = get(addr, &reference, &[(name, value)]).await;
        assert_eq!((answer.status, body.len()), (200, 1610), "{name}: {value}");
    }
    for stale in ["\"x\"", "Tue, 24 Nov 2026 10:00:00 GMT"] {
        let (answer, body) = get(addr, &reference, &[("Range", "bytes=0-1"), ("If-Range", stale)]).await;
        assert_eq!((answer.status, body.len()), (200, 1610), "{stale}");
    }
    for known in [&*etag, "*", &format!("\"x\", W/{etag}")] {
        let (answer, body) = get(addr, &reference, &[("If-None-Match", known), ("Range", "bytes=0-1")]).await;
        assert_eq!((answer.status, body.len(), answer.header("etag")), (304, 0, Some(&*etag)));
    }
    let (answer, _) = call(addr, &format!("POST /{reference}"), &[], b"").await;
    answer.assert_problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}

/// Nothing tells a reference that never was from one that is no more, or is none.
#[tokio::test]
async fn what_is_not_there() {
    let place = Place::new().await;
    let partner = place.start(config()).await;
    let (addr, bytes) = (partner.addr(), file(3, 4));
    let deleted = stored(addr, ALICE, &bytes).await;
    let alice = [("Authorization", "Bearer session-of-alice")];
    let bob = [("Authorization", "Bearer b")];
    let line = format!("DELETE /v1/media/{deleted}");
    send(addr, &line, &[], "").await.assert_problem(401, "unauthorized");
    send(addr, &line, &bob, "").await.assert_problem(404, "not-found");
    assert_eq!(send(addr, &line, &alice, "").await.status, 204);
    send(addr, &line, &alice, "").await.assert_problem(404, "not-found");
    let (reference, name) = (stored(addr, ALICE, &bytes).await, place.blobs());
    assert_ne!(reference, deleted, "a reference is not given twice");
    let mut name = name.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
    let name = name.find(|name| name.len() == 64).unwrap();
    let mut bodies = std::collections::BTreeSet::new();
    for path in [
        deleted.as_str(),
        &"A".repeat(43),
        name,
        "short",
        &format!("{reference}x"),
        &format!("{reference}//"),
        &format!("{reference}/x"),
        &format!("x/{reference}"),
        &format!("/{reference}"),
        &format!("./{reference}"),
        &format!("../{reference}"),
        &format!("%2e%2e/{reference}"),
        &format!("%{:02x}{}", reference.as_bytes()[0], &reference[1..]),
        &format!("{reference}%00"),
        &format!("{reference}%2f"),
        &format!("{reference}.enc"),
        &format!("{reference}\\"),
        "..%2f..%2fpartner.db",
        "../partner.db",
        "../../keys/active.pem",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "objects",
        "uploads/",
    ] {
        let (answer, _) = get(addr, path, &[]).await;
        answer.assert_problem(404, "not-found");
        let id = answer.header("x-request-id").unwrap();
        bodies.insert(answer.body.replace(id, "ID"));
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(get(addr, &reference, &[]).await.1 == bytes);
}

#[tokio::test]
async fn uploads_that_are_not_what_they_say() {
    let place = Place::new().await;
    let partner = place.start(config()).await;
    let (addr, bytes) = (partner.addr(), file(4, 1000));
    let good = format!("PUT /v1/media/by-hash/{}", hash(&bytes));
    let session = ("Authorization", "Bearer session-of-alice");
    let octets = ("Content-Type", "application/octet-stream");
    // Another digest, and lengths that no file of this format has.
    let mut wrong = bytes.clone();
    wrong[5000] ^= 1;
    call(addr, &good, &[session, octets], &wrong).await.0.assert_problem(422, "digest-mismatch");
    for length in [16, 25, 27, 160] {
        let odd = vec![7; length];
        put(addr, ALICE, &odd).await.assert_problem(422, "digest-mismatch");
    }
    // Shorter than announced, and without an announcement.
    let announced = ("Content-Length", "16010");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "{good} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer session-of-alice\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: 16010\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), &bytes[..9000]].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = common::parse(&common::read_all(&mut stream).await);
    assert!(matches!(answer.status, 0 | 400), "{answer:?}");
    let chunked = [session, octets, ("Transfer-Encoding", "chunked"), ("Content-Length", "")];
    let mut body = b"3e8a\r\n".to_vec();
    body.extend_from_slice(&bytes);
    body.extend_from_slice(b"\r\n0\r\n\r\n");
    let chunked: Vec<_> = chunked.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let mut raw = format!("{good} HTTP/1.1\r\nHost: p\r\n");
    for (name, value) in &chunked {
        raw += &format!("{name}: {value}\r\n");
    }
    let answer = common::raw(addr, &[format!("{raw}\r\n").as_bytes(), &body].concat()).await;
    answer.assert_problem(411, "length-required");
    call(addr, &good, &[session, announced], &bytes).await.0.assert_problem(415, "unsupported-media-type");
    call(addr, &good, &[octets], &bytes).await.0.assert_problem(401, "unauthorized");
    for path in ["x", "%2e%2e", &hash(&bytes)[..42], &format!("{}=", hash(&bytes))] {
        let line = format!("PUT /v1/media/by-hash/{path}");
        call(addr, &line, &[session, octets], &bytes).await.0.assert_problem(400, "bad-request");
    }
    // Nothing of all that is kept, and nothing is in the way of the right one.
    until("the rest is swept", async || place.blobs().is_empty()).await;
    let headers = [session];
    let line = format!("HEAD /v1/media/by-hash/{}", hash(&bytes));
    assert_eq!(call(addr, &line, &headers, b"").await.0.status, 404);
    let reference = stored(addr, ALICE, &bytes).await;
    let (answer, _) = call(addr, &line, &headers, b"").await;
    assert_eq!((answer.status, answer.header("storage-reference")), (200, Some(&*reference)));
    assert_eq!(call(addr, &line, &[("Authorization", "Bearer b")], b"").await.0.status, 404);
    let names = place.blobs().iter().map(|path| path.display().to_string()).collect::<String>();
    assert!(!names.is_empty() && !names.contains(&reference) && !names.contains(&hash(&bytes)), "{names}");
}

#[tokio::test]
async fn limits_and_quotas() {
    let media =
        MediaConfig { max_bytes: 1610, quota_per_day: 3300, misses_per_minute: 3, ..MediaConfig::default() };
    let partner = common::start_with(PartnerConfig { media, ..config() }).await.unwrap();
    let addr = partner.addr();
    put(addr, ALICE, &file(1, 101)).await.assert_problem(413, "too-large");
    let first = stored(addr, ALICE, &file(1, 100)).await;
    stored(addr, ALICE, &file(2, 100)).await;
    put(addr, ALICE, &file(3, 100)).await.assert_problem(507, "quota-exceeded");
    stored(addr, BOB, &file(3, 100)).await;
    // Who guesses has to wait, even for what is there.
    let unknown = "A".repeat(43);
    until("too many misses", async || {
        let (answer, _) = get(addr, &unknown, &[]).await;
        answer.status == 429 && answer.header("retry-after").is_some()
    })
    .await;
    assert_eq!(get(addr, &first, &[]).await.0.status, 429);
    assert_eq!(
        common::token(addr, ALICE).await.status,
        200,
        "the users behind the address are not locked out"
    );
}

#[tokio::test]
async fn objects_end_after_45_days() {
    let (place, hand) = (Place::new().await, Hand::at(1_800_000_000));
    let partner = place.builder(config()).await.clock(hand.clock()).start().await.unwrap();
    let (addr, bytes) = (partner.addr(), file(5, 10));
    let answer = put(addr, ALICE, &bytes).await.json();
    assert_eq!(answer["expires_at"], "2027-03-01T08:00:00Z");
    let reference = answer["storage_reference"].as_str().unwrap();
    hand.advance(45 * 24 * 3600 - 1);
    assert_eq!(get(addr, reference, &[]).await.0.status, 200);
    assert_eq!(
        put(addr, ALICE, &bytes).await.json()["expires_at"],
        "2027-03-01T08:00:00Z",
        "nothing extends it"
    );
    hand.advance(1);
    get(addr, reference, &[]).await.0.assert_problem(404, "not-found");
    let next = stored(addr, ALICE, &bytes).await;
    assert_ne!(next, reference);
    // Another object's end makes the server look at the clock.
    let alice = [("Authorization", "Bearer session-of-alice")];
    assert_eq!(send(addr, &format!("DELETE /v1/media/{next}"), &alice, "").await.status, 204);
    until("the bytes are gone", async || place.blobs().is_empty()).await;
}

#[tokio::test]
async fn objects_survive_a_restart_and_what_was_unfinished_does_not() {
    let place = Place::new().await;
    let mut limits = landbridge_transport::HttpLimits::default();
    limits.drain = std::time::Duration::ZERO;
    let partner = place.builder(config()).await.http_limits(limits).start().await.unwrap();
    let bytes = file(6, 5000);
    let reference = stored(partner.addr(), ALICE, &bytes).await;
    let published = place.blobs();
    let mut half = TcpStream::connect(partner.addr()).await.unwrap();
    let other = file(7, 5000);
    let head = format!(
        "PUT /v1/media/by-hash/{} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer session-of-alice\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        hash(&other),
        other.len()
    );
    half.write_all(&[head.as_bytes(), &other[..60_000]].concat()).await.unwrap();
    let in_flight = "landbridge_http_requests_in_flight{listener=\"public\"} 1";
    until("the upload has begun", async || {
        let metrics = send(partner.admin_addr(), "GET /metrics", &[], "").await.body;
        // A bucket gets a part when it is full or the request ends.
        metrics.lines().any(|line| line == in_flight) && (place.is_grown() || place.blobs() != published)
    })
    .await;
    // As if it had been killed: nothing is drained, nobody tidies up.
    drop(partner);
    let partner = place.restart(config()).await;
    assert!(get(partner.addr(), &reference, &[]).await.1 == bytes);
    until("the rest is swept", async || place.blobs() == published).await;
    stored(partner.addr(), ALICE, &other).await;
    drop(half);
}

#[tokio::test]
async fn a_resumable_upload_over_two_servers() {
    let place = Place::new().await;
    let partner = place.start(config()).await;
    let bytes = file(8, 20_000);
    let tus = Tus::new(partner.addr(), ALICE);
    let created = tus.create(&bytes).await;
    assert_eq!((created.status, created.header("tus-resumable")), (201, Some("1.0.0")));
    let location = created.header("location").unwrap().to_owned();
    assert_eq!(tus.offset(&location).await, 0);
    let answer = tus.patch(&location, 0, &bytes[..100_000]).await;
    assert_eq!((answer.status, answer.header("upload-offset")), (204, Some("100000")));
    assert_eq!(answer.header("storage-reference"), None);
    tus.patch(&location, 0, &bytes[..10]).await.assert_problem(409, "bad-request");
    tus.patch(&location, 100_001, &bytes[100_001..]).await.assert_problem(409, "bad-request");
    // Broken off in the middle: what came is kept.
    let mut stream = TcpStream::connect(partner.addr()).await.unwrap();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer session-of-alice\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 100000\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 220010\r\n\
         Expect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "the upload is this request's");
    stream.write_all(&bytes[100_000..150_000]).await.unwrap();
    tus.patch(&location, 100_000, b"").await.assert_problem(409, "bad-request");
    drop(stream);
    until("the server has it", async || tus.offset(&location).await == 150_000).await;
    until("the upload is free again", async || {
        tus.patch(&location, 150_000, &bytes[150_000..160_000]).await.status == 204
    })
    .await;
    partner.shutdown().await;

    let partner = place.restart(config()).await;
    let tus = Tus::new(partner.addr(), ALICE);
    assert_eq!(tus.offset(&location).await, 160_000);
    assert_eq!(tus.call(&format!("GET {location}"), &[], b"").await.status, 404, "it is not complete");
    Tus::new(partner.addr(), BOB).patch(&location, 160_000, b"x").await.assert_problem(404, "not-found");
    let last = tus.patch(&location, 160_000, &bytes[160_000..]).await;
    assert_eq!(last.status, 204, "{last:?}");
    let reference = last.header("storage-reference").unwrap();
    assert!(get(partner.addr(), reference, &[]).await.1 == bytes);
    let described = tus.call(&format!("GET {location}"), &[], b"").await.json();
    assert_eq!(described["storage_reference"], reference);
    assert_eq!(tus.offset(&location).await, bytes.len());
    // Whoever has it need not send it.
    let again = tus.create(&bytes).await;
    let again = again.header("location").unwrap();
    let answer = tus.call(&format!("HEAD {again}"), &[], b"").await;
    assert_eq!(answer.header("storage-reference"), Some(reference));
    assert_eq!(answer.header("upload-offset"), Some("320010"));
}

#[tokio::test]
async fn resumable_uploads_that_go_wrong() {
    let place = Place::new().await;
    let partner = place.start(config()).await;
    let (tus, bytes) = (Tus::new(partner.addr(), ALICE), file(9, 100));
    let location = async |bytes: &[u8]| tus.create(bytes).await.header("location").unwrap().to_owned();
    // More than announced: what fits is not taken for the whole.
    let long = location(&bytes).await;
    let refused = tus.patch(&long, 0, &[bytes.clone(), vec![0; 16]].concat()).await;
    refused.assert_problem(413, "too-large");
    assert_eq!(refused.header("tus-resumable"), Some("1.0.0"), "refusals name the version, too");
    assert_eq!(tus.offset(&long).await, 0, "nothing of it was taken");
    let kind = ("Content-Type", "Application/Offset+Octet-Stream; x=y");
    let answer = tus.call(&format!("PATCH {long}"), &[("Upload-Offset", "0"), kind], &bytes[..10]).await;
    assert_eq!((answer.status, answer.header("upload-offset")), (204, Some("10")), "{answer:?}");
    // Other bytes.
    let mut wrong = bytes.clone();
    wrong[0] ^= 1;
    let other = location(&bytes).await;
    tus.patch(&other, 0, &wrong).await.assert_problem(422, "digest-mismatch");
    tus.call(&format!("HEAD {other}"), &[], b"").await;
    assert_eq!(tus.call(&format!("HEAD {other}"), &[], b"").await.status, 404, "it is dropped");
    // Given up.
    let given_up = location(&bytes).await;
    tus.patch(&given_up, 0, &bytes[..100]).await;
    assert_eq!(tus.call(&format!("DELETE {given_up}"), &[], b"").await.status, 204);
    assert_eq!(tus.call(&format!("HEAD {given_up}"), &[], b"").await.status, 404);
    // Two at once, interleaved: each is its own.
    let (one, two) = (file(10, 50), file(11, 50));
    let (first, second) = (location(&one).await, location(&two).await);
    for (start, end) in [(0, 400), (400, 810)] {
        tus.patch(&first, start, &one[start..end]).await;
        tus.patch(&second, start, &two[start..end]).await;
    }
    for (location, bytes) in [(first, one), (second, two)] {
        let answer = tus.call(&format!("HEAD {location}"), &[], b"").await;
        assert!(get(partner.addr(), answer.header("storage-reference").unwrap(), &[]).await.1 == bytes);
    }
    // What can be asked without a session, and of which version one is.
    for path in ["/v1/uploads", "/v1/uploads/some-id"] {
        let answer = call(partner.addr(), &format!("OPTIONS {path}"), &[], b"").await.0;
        assert_eq!((answer.status, answer.header("tus-version")), (204, Some("1.0.0")));
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
        assert_eq!(answer.header("tus-extension"), Some("creation,termination"));
        assert_eq!(answer.header("tus-max-size"), Some("2147483674"));
    }
    // Requests that are not tus.
    let authorization = [("Authorization", "Bearer session-of-alice")];
    let answer = call(partner.addr(), "POST /v1/uploads", &authorization, b"").await.0;
    answer.assert_problem(412, "bad-request");
    assert_eq!(answer.header("tus-version"), Some("1.0.0"));
    let metadata = format!("sha256 {}", STANDARD.encode(sha256(&bytes)));
    for (length, metadata) in [
        ("", metadata.as_str()),
        ("-1", &metadata),
        ("1610", ""),
        ("1610", "sha256 AAAA"),
        ("1610", "sha256 !"),
        ("1610", "md5 AAAA"),
    ] {
        let headers = [("Upload-Length", length), ("Upload-Metadata", metadata)];
        tus.call("POST /v1/uploads", &headers, b"").await.assert_problem(400, "bad-request");
    }
    for (length, status, slug) in [
        ("1600", 422, "digest-mismatch"),
        ("99999999999999", 413, "too-large"),
        ("99999999999999999999999", 413, "too-large"),
    ] {
        let headers = [("Upload-Length", length), ("Upload-Metadata", metadata.as_str())];
        tus.call("POST /v1/uploads", &headers, b"").await.assert_problem(status, slug);
    }
}

/// A reader that stops reading holds no more than some buffers, and the others are served meanwhile.
#[tokio::test]
async fn a_large_object_to_a_slow_reader() {
    let partner = common::start_with(config()).await.unwrap();
    let (addr, bytes) = (partner.addr(), file(12, 1_000_000));
    let reference = stored(addr, ALICE, &bytes).await;
    let mut slow = TcpStream::connect(addr).await.unwrap();
    slow.write_all(format!("GET /{reference} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut first = [0; 100];
    slow.read_exact(&mut first).await.unwrap();
    assert!(get(addr, &reference, &[]).await.1 == bytes);
    let rest = common::read_all(&mut slow).await;
    assert!(rest.ends_with(&bytes[bytes.len() - 1000..]));
}
