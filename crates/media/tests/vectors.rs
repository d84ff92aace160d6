//! Files made by other implementations, byte by byte.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use landbridge_media::{
    Claim, Decryptor, Encryptor, Expected, MediaKey, MediaKind, RangeError, RangeReader, Refusal, Sealed,
    Sidecar, decrypt, encrypt,
};
use ring::digest::{SHA256, digest};
use serde_json::Value;

fn read(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn cases(name: &str) -> Vec<Value> {
    read(name)["cases"].as_array().unwrap().clone()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn kind(case: &Value) -> MediaKind {
    case["type"].as_str().unwrap().parse().unwrap()
}

/// The generator that the vectors' README describes.
fn stream(seed: &str, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 32);
    for counter in 0_u64.. {
        if out.len() >= length {
            break;
        }
        let input = [seed.as_bytes(), &[0], &counter.to_be_bytes()].concat();
        out.extend_from_slice(digest(&SHA256, &input).as_ref());
    }
    out.truncate(length);
    out
}

fn plain(id: &str, size: &Value) -> Vec<u8> {
    stream(&format!("landbridge/media/1/plain/{id}"), size.as_u64().unwrap() as usize)
}

fn key(id: &str) -> MediaKey {
    MediaKey::from_bytes(&stream(&format!("landbridge/media/1/key/{id}"), 32)).unwrap()
}

/// Encrypts in pieces of this length.
fn encrypt_in_pieces(kind: MediaKind, key: &MediaKey, plain: &[u8], piece: usize) -> (Vec<u8>, Sealed) {
    let mut encryptor = Encryptor::new(kind, key);
    let mut out = Vec::new();
    plain.chunks(piece).for_each(|piece| encryptor.update(piece, &mut out));
    let sealed = encryptor.finish(&mut out);
    (out, sealed)
}

fn expected(kind: MediaKind, key: &MediaKey, sealed: &Sealed) -> Expected {
    let mut claim = Claim::default();
    claim.media_key = Some(key.as_bytes());
    claim.file_sha256 = Some(&sealed.file_sha256);
    claim.file_enc_sha256 = Some(&sealed.file_enc_sha256);
    claim.file_length = Some(sealed.file_length);
    Expected::of_message(kind, claim, u64::MAX).unwrap()
}

#[test]
fn files_are_encrypted_as_others_do() {
    let cases = cases("encrypt");
    assert_eq!(cases.len(), 96);
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let (kind, plain, key) = (kind(&case), plain(id, &case["size"]), key(id));
        assert_eq!(key.as_bytes()[..], bytes(&case["media_key"]), "{id}");
        // Byte by byte is slow for a million of them, and they would show nothing new.
        let smallest = if plain.len() > 100_000 { 999 } else { 1 };
        for piece in [plain.len().max(1), smallest, 64, 4097] {
            let (encrypted, sealed) = encrypt_in_pieces(kind, &key, &plain, piece);
            assert_eq!(sealed.encrypted_length, case["enc_length"].as_u64().unwrap(), "{id}");
            assert_eq!(encrypted.len() as u64, sealed.encrypted_length, "{id}");
            assert_eq!(sealed.file_sha256[..], bytes(&case["file_sha256"]), "{id}");
            assert_eq!(sealed.file_enc_sha256[..], bytes(&case["file_enc_sha256"]), "{id}");
            assert!(encrypted.starts_with(&bytes(&case["enc_first16"])), "{id}");
            assert!(encrypted.ends_with(&bytes(&case["enc_last26"])), "{id}");
            assert!(encrypted.ends_with(&bytes(&case["mac"])), "{id}");
            let sidecar = case["streaming_sidecar"].as_str().map(|_| bytes(&case["streaming_sidecar"]));
            assert_eq!(sealed.sidecar.as_ref().map(|sidecar| sidecar.as_bytes().to_vec()), sidecar, "{id}");
            if let Some(whole) = case.get("enc_hex") {
                assert_eq!(encrypted, bytes(whole), "{id}");
            }
            let expected = expected(kind, &key, &sealed);
            assert_eq!(decrypt(&expected, &encrypted).as_deref(), Ok(&plain[..]), "{id}");
            let mut decryptor = Decryptor::new(&expected, Vec::new()).with_sidecar();
            encrypted.chunks(piece).for_each(|piece| decryptor.update(piece).unwrap());
            let opened = decryptor.finish().unwrap();
            assert_eq!(opened.file, plain, "{id}");
            if kind.has_sidecar() {
                assert_eq!(opened.sidecar, sealed.sidecar, "{id}");
            }
        }
    }
}

#[test]
fn sidecars_are_those_of_others_at_every_edge() {
    let cases = cases("sidecar");
    assert_eq!(cases.len(), 28);
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let plain = plain(id, &case["size"]);
        let key = MediaKey::from_bytes(&bytes(&case["media_key"])).unwrap();
        let (encrypted, sealed) = encrypt(kind(&case), &key, &plain);
        assert_eq!(sealed.file_enc_sha256[..], bytes(&case["file_enc_sha256"]), "{id}");
        let sidecar = sealed.sidecar.unwrap();
        assert_eq!(sidecar.as_bytes(), bytes(&case["streaming_sidecar"]), "{id}");
        assert_ne!(sidecar.as_bytes(), bytes(&case["wrong_without_iv"]), "{id}");
        assert_eq!(sidecar.as_bytes().len() as u64, 10 * case["windows"].as_u64().unwrap(), "{id}");
        // And each file can be read by it.
        if !plain.is_empty() {
            let reader = RangeReader::new(kind(&case), &key, plain.len() as u64, sidecar).unwrap();
            let part = reader.part(0..plain.len() as u64).unwrap();
            assert_eq!(
                part.fetch(),
                0..encrypted.len() as u64 - u64::from(!covers_mac(&plain)) * tail(&plain)
            );
            let fetched = &encrypted[..part.fetch().end as usize];
            assert_eq!(reader.open(&part, fetched).unwrap()[..], plain, "{id}");
        }
    }
}

/// Whether the window that holds the last plain byte holds the file's end, too.
fn covers_mac(plain: &[u8]) -> bool {
    tail(plain) == 0
}

/// Bytes of the encrypted file in windows behind the one with the last plain byte.
fn tail(plain: &[u8]) -> u64 {
    let (length, block) = (plain.len() as u64, (plain.len() as u64 - 1) / 16);
    let encrypted = (length / 16 + 1) * 16 + 10;
    encrypted.saturating_sub(((block * 16) / 65_536 + 1) * 65_536)
}

#[test]
fn parts_are_read_as_others_do() {
    let vectors = read("range");
    let id = vectors["id"].as_str().unwrap();
    let (plain, key) = (plain(id, &vectors["size"]), key(id));
    let (encrypted, sealed) = encrypt(MediaKind::Video, &key, &plain);
    assert_eq!(sealed.file_enc_sha256[..], bytes(&vectors["file_enc_sha256"]));
    let sidecar = Sidecar::from_bytes(&bytes(&vectors["streaming_sidecar"])).unwrap();
    let reader = RangeReader::new(MediaKind::Video, &key, plain.len() as u64, sidecar).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 14);
    for case in cases {
        let number = |value: &Value| value.as_u64().unwrap();
        let part = reader.part(number(&case["plain_start"])..number(&case["plain_end"])).unwrap();
        let fetch = part.fetch();
        let last = &case["verify_fetch"][1];
        assert_eq!((fetch.start, fetch.end - 1), (number(&case["verify_fetch"][0]), number(last)), "{case}");
        let fetched = &encrypted[fetch.start as usize..fetch.end as usize];
        let opened = reader.open(&part, fetched).unwrap();
        assert_eq!(digest(&SHA256, &opened).as_ref(), bytes(&case["plain_sha256"]), "{case}");
        // One bit anywhere in what was fetched, and nothing is given.
        for at in [0, fetched.len() / 2, fetched.len() - 1] {
            let mut bad = fetched.to_vec();
            bad[at] ^= 1;
            assert!(matches!(reader.open(&part, &bad), Err(RangeError::NotProved { .. })), "{case} {at}");
        }
    }
}

#[test]
fn damaged_files_are_refused_for_the_first_reason() {
    let cases = cases("negative");
    assert_eq!(cases.len(), 54);
    for case in cases {
        let name = case["id"].as_str().unwrap();
        let encrypted = match case.get("enc_hex") {
            Some(hex) => bytes(hex),
            None => flipped(&case["enc_from"]),
        };
        let field = |name: &str| case[name].as_str().map(|hex| hex::decode(hex).unwrap());
        let (media_key, enc, sha) = (field("media_key"), field("file_enc_sha256"), field("file_sha256"));
        let mut claim = Claim::default();
        claim.media_key = media_key.as_deref();
        claim.file_enc_sha256 = enc.as_deref();
        claim.file_sha256 = sha.as_deref();
        claim.file_length = case["file_length"].as_u64();
        for piece in [encrypted.len().max(1), 1, 17] {
            let whole = Expected::of_message(kind(&case), claim, u64::MAX).and_then(|expected| {
                let mut decryptor = Decryptor::new(&expected, Vec::new());
                let refused = |error| match error {
                    landbridge_media::DecryptError::Refused(refusal) => refusal,
                    other => panic!("{other}"),
                };
                encrypted.chunks(piece).try_for_each(|piece| decryptor.update(piece)).map_err(refused)?;
                decryptor.finish().map_err(refused)
            });
            let got = whole.as_ref().map_or_else(Refusal::code, |_| "ok");
            assert_eq!(got, case["expect"].as_str().unwrap(), "{name} in pieces of {piece}");
        }
    }
}

fn flipped(from: &Value) -> Vec<u8> {
    let id = from["seal_id"].as_str().unwrap();
    let (mut encrypted, _) = encrypt(kind(from), &key(id), &plain(id, &from["size"]));
    encrypted[from["flip_offset"].as_u64().unwrap() as usize] ^= from["flip_mask"].as_u64().unwrap() as u8;
    encrypted
}
