//! All key set vectors, the cache over time, and what is published.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

mod common;

use common::{NOW, json, signer, vector};
use landbridge_enlist::jwks::{
    self, Cache, CachePolicy, FetchReport, Fetched, JwksError, KeySet, Lookup, UnfitKey,
};
use proptest::prelude::*;
use serde_json::Value;

fn answer<'a>(status: u16, etag: Option<&'a str>, body: &'a str) -> Fetched<'a> {
    Fetched::Response { status, etag, cache_control: Some("public, max-age=300"), body: body.as_bytes() }
}

/// The two published keys of partner one, each alone and both.
fn documents() -> [String; 3] {
    let set = json("jwks-partner-1.json");
    let (first, second) = (&set["keys"][0], &set["keys"][1]);
    [format!(r#"{{"keys":[{first}]}}"#), format!(r#"{{"keys":[{second}]}}"#), set.to_string()]
}

const FIRST: &str = "p1-2026-10";
const SECOND: &str = "p1-2026-11";

fn loaded(body: &str) -> Cache {
    let mut cache = Cache::new(CachePolicy::default());
    assert!(cache.poll(NOW).is_some());
    assert!(matches!(cache.fetched(answer(200, Some("\"1\""), body), NOW), FetchReport::Replaced { .. }));
    cache
}

#[test]
fn every_key_set_vector_has_its_verdict() {
    let file = json("jwks-docs.json");
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 37);
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let mut cache = Cache::new(CachePolicy::default());
        cache.poll(NOW).unwrap();
        let status = u16::try_from(case["http"]["status"].as_u64().unwrap()).unwrap();
        let report = cache.fetched(answer(status, None, case["body"].as_str().unwrap()), NOW);
        let accepted = matches!(report, FetchReport::Replaced { .. });
        assert_eq!(accepted, case["verdict"] == "accept", "{id}: {report:?}");
        let wanted: Vec<&str> =
            case["usable_kids"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let mut usable: Vec<&str> = cache.live(NOW).map(|set| set.kids().collect()).unwrap_or_default();
        usable.sort_by_key(|kid| wanted.iter().position(|wanted| wanted == kid));
        assert_eq!(usable, wanted, "{id}");
    }
}

#[test]
fn faults_are_named() {
    let refusal = |body: &str| KeySet::parse(body.as_bytes()).unwrap_err();
    assert!(matches!(refusal("[]"), JwksError::Json(_)));
    assert!(matches!(refusal("{}"), JwksError::NoKeysArray));
    assert!(matches!(refusal(r#"{"keys":[]}"#), JwksError::NoUsableKey { .. }));
    let many = format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 101].join(","));
    assert!(matches!(refusal(&many), JwksError::TooManyKeys { got: 101 }));
    for (member, kty) in [("d", "RSA"), ("qi", "RSA"), ("k", "RSA"), ("d", "EC"), ("d", "oct")] {
        let body = format!(r#"{{"keys":[{{"kty":"{kty}","kid":"x","{member}":"AA"}}]}}"#);
        assert!(matches!(refusal(&body), JwksError::PrivateMember { index: 0, .. }), "{body}");
    }
    let dropped = KeySet::parse(vector("jwks-weak.json").as_bytes()).unwrap().dropped;
    let why: Vec<_> = dropped.iter().map(|key| key.why).collect();
    assert_eq!(
        why,
        [
            UnfitKey::Modulus { bits: 1024 },
            UnfitKey::Exponent,
            UnfitKey::KeyType,
            UnfitKey::Use,
            UnfitKey::Alg
        ]
    );
    let text = dropped[0].to_string();
    assert!(text.contains("weak-1024") && text.contains("1024 bits"), "{text}");
}

#[test]
fn a_modulus_with_a_leading_zero_is_dropped() {
    let set = json("jwks-partner-2.json");
    let n = set["keys"][0]["n"].as_str().unwrap();
    // Four characters are three bytes; a zero byte in front shifts the rest, so re-encode by prepending three zeros.
    let body = set.to_string().replace(n, &format!("AAAA{n}"));
    assert!(
        matches!(KeySet::parse(body.as_bytes()), Err(JwksError::NoUsableKey { dropped }) if dropped[0].why == UnfitKey::Encoding)
    );
}

#[test]
fn what_is_published_is_what_is_read() {
    let signers = [signer("partner-1/p1-2026-10"), signer("partner-1/p1-2026-11")];
    let document = jwks::to_json(signers.iter().map(|signer| signer.public_key()));
    let value: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(value, json("jwks-partner-1.json"));
    let tag = jwks::etag(&document);
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag != jwks::etag("{}"));
    assert!(
        document.starts_with(r#"{"keys":[{"kid":"p1-2026-10","kty":"RSA","alg":"RS256","use":"sig","n":""#)
    );
}

/// The example of RFC 7638, section 3.1.
#[test]
fn kids_are_thumbprints() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst\
             n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbIS\
             D08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let n = decode(n);
    let key = jwks::PublicJwk::new(&n, &[1, 0, 1]).unwrap();
    assert_eq!(key.kid(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = text
        .chars()
        .flat_map(|c| {
            let six = ALPHABET.find(c).unwrap();
            (0..6).rev().map(move |bit| u8::from(six >> bit & 1 == 1))
        })
        .collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
}

#[test]
fn refreshes_at_max_age_within_bounds() {
    let [_, _, both] = documents();
    for (header, seconds) in [
        (Some("max-age=300"), 300),
        (Some("max-age=0"), 60),
        (Some("no-store"), 60),
        (Some("max-age=86400"), 3600),
        (None, 600),
    ] {
        let mut cache = Cache::new(CachePolicy::default());
        assert_eq!(cache.next_fetch(), Some(0));
        assert_eq!(cache.poll(NOW).unwrap().if_none_match, None);
        assert_eq!(cache.next_fetch(), None, "one at a time");
        assert_eq!(cache.poll(NOW), None);
        let outcome =
            Fetched::Response { status: 200, etag: None, cache_control: header, body: both.as_bytes() };
        cache.fetched(outcome, NOW);
        assert_eq!(cache.next_fetch(), Some(NOW + seconds), "{header:?}");
        assert_eq!(cache.poll(NOW + seconds - 1), None);
        assert!(
            matches!(cache.lookup(FIRST, NOW + seconds + 5), Lookup::Key(_)),
            "never waits while a set is held"
        );
        assert!(cache.poll(NOW + seconds).is_some());
    }
}

#[test]
fn conditional_requests() {
    let [_, _, both] = documents();
    let mut cache = loaded(&both);
    assert_eq!(cache.poll(NOW + 300).unwrap().if_none_match.as_deref(), Some("\"1\""));
    assert!(matches!(cache.fetched(answer(304, None, ""), NOW + 300), FetchReport::Unchanged));
    assert_eq!((cache.age(NOW + 301), cache.next_fetch()), (Some(1), Some(NOW + 600)));
    // Without a tag there is no condition, and a 304 to no condition is an error.
    cache.refresh_soon();
    cache.poll(NOW + 400).unwrap();
    cache.fetched(answer(200, None, &both), NOW + 400);
    cache.refresh_soon();
    assert_eq!(cache.poll(NOW + 401).unwrap().if_none_match, None);
    let report = cache.fetched(answer(304, None, ""), NOW + 401);
    assert!(matches!(report, FetchReport::Refused(JwksError::Status { status: 304 })));
    assert!(cache.live(NOW + 401).is_some(), "the old set stays");
}

#[test]
fn an_unknown_kid_makes_one_fetch_in_thirty_seconds() {
    let [first, _, both] = documents();
    let mut cache = loaded(&first);
    assert!(matches!(cache.lookup(SECOND, NOW + 10), Lookup::Wait));
    assert!(matches!(cache.lookup("other", NOW + 10), Lookup::Wait), "waiters share it");
    assert!(cache.poll(NOW + 10).is_some());
    assert!(matches!(cache.lookup(SECOND, NOW + 11), Lookup::Wait), "also while it is under way");
    cache.fetched(answer(200, None, &both), NOW + 11);
    assert!(matches!(cache.lookup(SECOND, NOW + 11), Lookup::Key(_)));
    // `other` is remembered; a third kid comes too soon.
    assert!(matches!(cache.lookup("other", NOW + 11), Lookup::Unknown));
    assert!(matches!(cache.lookup("third", NOW + 39), Lookup::Unknown));
    assert_eq!(cache.poll(NOW + 39), None);
    assert!(matches!(cache.lookup("third", NOW + 40), Lookup::Wait));
    assert!(cache.poll(NOW + 40).is_some());
    cache.fetched(answer(200, None, &both), NOW + 40);
    assert!(matches!(cache.lookup("third", NOW + 69), Lookup::Unknown), "remembered");
    assert!(matches!(cache.lookup("third", NOW + 70), Lookup::Wait));
}

#[test]
fn a_fetch_that_began_before_the_question_settles_nothing() {
    let [first, _, _] = documents();
    let mut cache = loaded(&first);
    cache.poll(NOW + 300).unwrap();
    assert!(matches!(cache.lookup(SECOND, NOW + 300), Lookup::Wait));
    cache.fetched(answer(200, None, &first), NOW + 300);
    assert!(matches!(cache.lookup(SECOND, NOW + 300), Lookup::Wait), "asks for a fetch of its own");
    cache.poll(NOW + 300).unwrap();
    cache.fetched(answer(200, None, &first), NOW + 300);
    assert!(matches!(cache.lookup(SECOND, NOW + 300), Lookup::Unknown));
}

#[test]
fn a_flood_of_kids_is_bounded() {
    let [first, _, _] = documents();
    let mut cache = loaded(&first);
    let mut fetches = 0;
    for n in 0..100_000_u64 {
        let now = NOW + 1 + n / 1000;
        let _ = cache.lookup(&format!("kid-{n}"), now);
        if cache.poll(now).is_some() {
            fetches += 1;
            cache.fetched(answer(200, None, &first), now);
        }
    }
    assert_eq!(fetches, 4, "100 s make at most four");
}

#[test]
fn failures_back_off_and_the_set_dies_after_a_day() {
    let [first, _, _] = documents();
    let mut cache = loaded(&first);
    let mut now = NOW + 300;
    let mut delays = Vec::new();
    while now < NOW + 24 * 3600 {
        assert!(matches!(cache.lookup(FIRST, now), Lookup::Key(_)));
        assert!(cache.poll(now).is_some());
        let outcome = if delays.len() % 2 == 0 { Fetched::Failed } else { answer(500, None, &first) };
        cache.fetched(outcome, now);
        let next = cache.next_fetch().unwrap();
        delays.push(next - now);
        now = next;
    }
    assert_eq!(delays[..9], [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    assert!(cache.live(NOW + 24 * 3600 - 1).is_some());
    let dead = NOW + 24 * 3600;
    assert!(cache.live(dead).is_none());
    assert!(matches!(cache.lookup(FIRST, now), Lookup::Wait), "a fetch is due anyway");
    assert_eq!(cache.poll(now).unwrap().if_none_match, None, "a dead set is not worth a 304");
    cache.fetched(Fetched::Failed, now);
    assert!(matches!(cache.lookup(FIRST, now), Lookup::NoSet));
    cache.refresh_soon();
    cache.poll(now + 1).unwrap();
    cache.fetched(answer(200, None, &first), now + 1);
    assert!(matches!(cache.lookup(FIRST, now + 1), Lookup::Key(_)));
    assert_eq!(cache.next_fetch(), Some(now + 301), "success ends the back-off");
}

#[test]
fn a_removed_key_stops_at_once_but_a_bad_set_removes_nothing() {
    let [first, second, both] = documents();
    let mut cache = loaded(&both);
    let mut fetch = |body: &str, after: u64| {
        cache.refresh_soon();
        cache.poll(NOW + after).unwrap();
        let report = cache.fetched(answer(200, None, body), NOW + after);
        let kids: Vec<String> = cache.live(NOW + after).unwrap().kids().map(str::to_owned).collect();
        (report, kids)
    };
    let (report, kids) = fetch("{\"keys\":[]}", 1);
    assert!(matches!(report, FetchReport::Refused(JwksError::NoUsableKey { .. })));
    assert_eq!(kids, [FIRST, SECOND]);
    let (report, kids) = fetch(&second, 2);
    let FetchReport::Replaced { added, removed, dropped } = report else { panic!("{report:?}") };
    assert_eq!((added.len(), removed, dropped.len()), (0, vec![FIRST.to_owned()], 0));
    assert_eq!(kids, [SECOND]);
    let (report, _) = fetch(&format!("{}{first}", " ".repeat(65_536)), 3);
    assert!(matches!(report, FetchReport::Refused(JwksError::TooLarge)));
}

#[test]
fn a_clock_set_back_stops_nothing() {
    let [first, _, _] = documents();
    let mut cache = loaded(&first);
    let past = NOW - 1_000_000;
    assert!(matches!(cache.lookup(FIRST, past), Lookup::Key(_)));
    assert!(cache.poll(past).is_some());
}

/// Tokens of every second of a rotation verify against a poller that polls as late as it may.
#[test]
fn rotation_with_overlap_loses_no_token() {
    let [first, second, both] = documents();
    let (publish, switch, remove) = (0, 7560, 7560 + 3660);
    for phase in [0, 1, 59, 1800, 3599] {
        let mut cache = Cache::new(CachePolicy::default());
        let end = 20_000_u64;
        for t in 0..end {
            let now = NOW + t;
            let document = if t < publish + 1 {
                &first
            } else if t < remove {
                &both
            } else {
                &second
            };
            if t >= phase && cache.poll(now).is_some() {
                let outcome = Fetched::Response {
                    status: 200,
                    etag: None,
                    cache_control: Some("max-age=999999"),
                    body: document.as_bytes(),
                };
                cache.fetched(outcome, now);
            }
            if t >= phase {
                // The key of a token issued now, and of the oldest one that still counts.
                for issued in [t, t.saturating_sub(3659)] {
                    let kid = if issued < switch { FIRST } else { SECOND };
                    assert!(matches!(cache.lookup(kid, now), Lookup::Key(_)), "{kid} at {t}, phase {phase}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_key_set(body in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(KeySet::parse(&body).is_err());
    }

    /// Whatever happens in whatever order, also with a jumping clock: one fetch at a time, and a key is given exactly
    /// if the last good document of the past day has it.
    #[test]
    fn the_cache_agrees_with_a_plain_model(steps in prop::collection::vec((0_u8..6, 0_u64..5000), 1..200)) {
        let documents = documents();
        let mut cache = Cache::new(CachePolicy::default());
        let mut now = NOW;
        let mut model: Option<(usize, u64)> = None;
        let mut in_flight = false;
        for (action, amount) in steps {
            match action {
                0 => now += amount,
                1 => now += 1,
                2 => {
                    let started = cache.poll(now).is_some();
                    prop_assert!(!(started && in_flight));
                    in_flight |= started;
                }
                3 if in_flight => {
                    let which = usize::try_from(amount % 3).unwrap();
                    cache.fetched(answer(200, None, &documents[which]), now);
                    model = Some((which, now));
                    in_flight = false;
                }
                4 if in_flight => {
                    cache.fetched(Fetched::Failed, now);
                    in_flight = false;
                }
                _ => {
                    for (kid, sets) in [(FIRST, [true, false, true]), (SECOND, [false, true, true])] {
                        let known = model.is_some_and(|(which, at)| sets[which] && now - at < 86_400);
                        prop_assert_eq!(matches!(cache.lookup(kid, now), Lookup::Key(_)), known);
                    }
                }
            }
            prop_assert_eq!(cache.next_fetch().is_none(), in_flight);
        }
    }
}
