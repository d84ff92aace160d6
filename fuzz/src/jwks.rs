//! Key sets: the document, and the cache over time.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use landbridge_enlist::jwks::{
    Cache, CachePolicy, FetchReport, Fetched, KeySet, Lookup, MAX_KEYS, PublicJwk, to_json,
};
use serde_json::Value;

use crate::{input::Input, vectors};

/// Of a document that is accepted every key is either usable or named as dropped, and a usable one is fit for RS256.
pub(crate) fn document(bytes: &[u8]) {
    let Ok(parsed) = KeySet::parse(bytes) else { return };
    let value: Value = serde_json::from_slice(bytes).expect("what is accepted is JSON");
    let keys = value["keys"].as_array().expect("what is accepted has keys");
    assert!(keys.len() <= MAX_KEYS);
    let usable: Vec<&str> = parsed.set.kids().collect();
    assert!(!usable.is_empty());
    assert_eq!(usable.len() + parsed.dropped.len(), keys.len());
    let dropped: BTreeSet<usize> = parsed.dropped.iter().map(|key| key.index).collect();
    let mut fit = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
            assert!(key.get(private).is_none(), "a private member was overlooked");
        }
        if dropped.contains(&index) {
            continue;
        }
        let kid = key["kid"].as_str().expect("a usable key has a name");
        assert_eq!(parsed.set.get(kid).map(|key| key.kid()), Some(kid));
        let number =
            |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap_or_default()).expect("strict");
        let public = PublicJwk::new(&number("n"), &number("e")).expect("a usable key can be published");
        assert!(key.get("use").is_none_or(|usage| usage == "sig"));
        assert!(key.get("alg").is_none_or(|alg| alg == "RS256"));
        assert_eq!(key["kty"], "RSA");
        fit.push(public);
    }
    // Published by ourselves, under their own names, they are all usable; two names of one key are one.
    let names: BTreeSet<&str> = fit.iter().map(PublicJwk::kid).collect();
    if names.len() == fit.len() {
        let again = KeySet::parse(to_json(&fit).as_bytes()).expect("the own document is good");
        assert!(again.dropped.is_empty());
        assert_eq!(again.set.kids().collect::<BTreeSet<_>>(), names);
    }
    for kid in usable {
        assert!(!parsed.set.get(kid).is_some_and(|key| key.verify(b"message", &[1; 256])));
    }
}

pub(crate) fn document_seeds() -> Vec<Vec<u8>> {
    let cases = vectors::list(&vectors::jwks_docs(), "cases");
    cases
        .iter()
        .filter_map(|case| case["body"].as_str().map(|body| body.as_bytes().to_vec()))
        .filter(|body| body.len() <= 6000)
        .collect()
}

/// A modulus of 2048 bits.
fn modulus() -> String {
    let mut n = [0xa5_u8; 256];
    n[255] = 1;
    URL_SAFE_NO_PAD.encode(n)
}

fn set_of(kids: u8) -> String {
    let n = modulus();
    let keys: Vec<String> = (0..4)
        .filter(|bit| kids & 1 << bit != 0)
        .map(|bit| format!(r#"{{"kid":"k{bit}","kty":"RSA","n":"{n}","e":"AQAB"}}"#))
        .collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// What a cache should know.
struct Model {
    /// The kids of the last good set and when it was confirmed.
    held: Option<(BTreeSet<String>, u64)>,
    in_flight: bool,
    starts: u64,
    failures: u64,
    pushes: u64,
}

/// A cache answers from the last good set while that lives, never has two fetches under way, and does not let unknown
/// names drive its fetching beyond the policy.
pub(crate) fn cache(bytes: &[u8]) {
    let policy = CachePolicy { max_misses: 3, ..CachePolicy::default() };
    let mut cache = Cache::new(policy.clone());
    let mut model = Model { held: None, in_flight: false, starts: 0, failures: 0, pushes: 0 };
    let mut script = Input::new(bytes);
    let begin = 1_000_000;
    let mut now = begin;
    for _ in 0..400 {
        if script.is_empty() {
            break;
        }
        match script.u8() % 8 {
            0 | 1 => now += [1, 5, 29, 30, 61, 301, 3_600, 86_400][script.below(8)],
            2 | 3 => look_up(&mut cache, &model, &format!("k{}", script.u8() % 8), now),
            4 | 5 => poll(&mut cache, &mut model, now),
            6 if model.in_flight => answer(&mut cache, &mut model, &mut script, now),
            6 => {}
            _ if script.one_in(4) => {
                cache.refresh_soon();
                model.pushes += 1;
            }
            _ => {}
        }
        agrees(&cache, &model, &policy, now);
        let elapsed = now - begin;
        let scheduled = elapsed / policy.min_refresh + elapsed / policy.miss_interval;
        let retries = model.failures.min(elapsed / policy.first_retry);
        let most = 2 + scheduled + retries + model.pushes;
        assert!(model.starts <= most, "{} fetches in {elapsed} s", model.starts);
    }
}

fn agrees(cache: &Cache, model: &Model, policy: &CachePolicy, now: u64) {
    let live = model.held.as_ref().filter(|(_, since)| now - since < policy.max_age);
    let kids: Option<BTreeSet<String>> = cache.live(now).map(|set| set.kids().map(str::to_owned).collect());
    assert_eq!(kids.as_ref(), live.map(|(kids, _)| kids));
    assert_eq!(cache.age(now), model.held.as_ref().map(|(_, since)| now - since));
    assert_eq!(cache.next_fetch().is_none(), model.in_flight);
}

fn look_up(cache: &mut Cache, model: &Model, kid: &str, now: u64) {
    let live = cache.live(now).is_some();
    let known = cache.live(now).is_some_and(|set| set.get(kid).is_some());
    match cache.lookup(kid, now) {
        Lookup::Key(key) => assert!(known && key.kid() == kid),
        Lookup::Wait => {
            assert!(!known);
            // Somebody waits, so there is something to wait for.
            assert!(model.in_flight || cache.next_fetch().is_some_and(|at| at <= now));
        }
        Lookup::Unknown => assert!(live && !known),
        Lookup::NoSet => assert!(!live),
    }
}

fn poll(cache: &mut Cache, model: &mut Model, now: u64) {
    let due = cache.next_fetch().is_some_and(|at| at <= now);
    match cache.poll(now) {
        Some(request) => {
            assert!(!model.in_flight, "two fetches at once");
            assert!(request.if_none_match.is_none() || cache.live(now).is_some());
            model.in_flight = true;
            model.starts += 1;
        }
        None => assert!(model.in_flight || !due),
    }
}

fn answer(cache: &mut Cache, model: &mut Model, script: &mut Input<'_>, now: u64) {
    model.in_flight = false;
    let kids = script.u8();
    let body = set_of(kids);
    let cache_control = [None, Some("max-age=0"), Some("max-age=99999"), Some("no-store")][script.below(4)];
    let good = |body| Fetched::Response { status: 200, etag: Some("\"1\""), cache_control, body };
    let report = match script.u8() % 6 {
        0 => cache.fetched(Fetched::Failed, now),
        1 => cache.fetched(Fetched::Response { status: 304, etag: None, cache_control, body: b"" }, now),
        2 => cache.fetched(good(b"{}"), now),
        3 => cache.fetched(Fetched::Response { status: 503, etag: None, cache_control, body: b"" }, now),
        _ => cache.fetched(good(body.as_bytes()), now),
    };
    match report {
        FetchReport::Replaced { added, removed, dropped } => {
            assert!(dropped.is_empty());
            let new: BTreeSet<String> =
                (0..4).filter(|bit| kids & 1 << bit != 0).map(|bit| format!("k{bit}")).collect();
            let old = model.held.take().map(|(kids, _)| kids).unwrap_or_default();
            assert_eq!(added.into_iter().collect::<BTreeSet<_>>(), new.difference(&old).cloned().collect());
            assert_eq!(removed.into_iter().collect::<BTreeSet<_>>(), old.difference(&new).cloned().collect());
            model.held = Some((new, now));
        }
        FetchReport::Unchanged => {
            let held = model.held.as_mut().expect("only a set that is held can be unchanged");
            held.1 = now;
        }
        FetchReport::Refused(_) | FetchReport::Failed => model.failures += 1,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn cache_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![2, 0, 4, 6, 7, 0, 5, 2, 0, 2, 5, 0, 3, 2, 5, 4, 6, 3, 0, 5, 2, 0],
        vec![4, 6, 1, 1, 5, 0, 7, 0, 5, 2, 0, 4, 6, 0, 0, 1, 2, 0],
        vec![4, 6, 0, 0, 0, 0, 1, 4, 6, 0, 0, 0, 0, 2, 4, 6, 1, 0, 3, 7, 0, 4],
        vec![2, 7, 2, 6, 2, 5, 2, 4, 4, 6, 15, 0, 5, 2, 7, 2, 6, 0, 3, 2, 7, 4, 6, 15, 2, 5],
    ]
}
