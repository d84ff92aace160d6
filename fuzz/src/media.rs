//! Media: whole files that were damaged on their way, parts of a film, download paths, previews.

use std::sync::LazyLock;

use landbridge_media::{
    Claim, Decryptor, DownloadPath, Encryptor, Expected, MediaKey, MediaKind, Part, RangeReader, Refusal,
    Sealed, check_thumbnail, decrypt, encrypt, encrypted_length, picture,
};

use crate::input::{Input, damage, put_long};

/// Most plain bytes that a message may promise here.
const LIMIT: u64 = 3_000;

fn key(number: u8) -> MediaKey {
    MediaKey::from_bytes(&[number; 32]).expect("32 bytes are a key")
}

/// Encrypts in pieces, which the script cuts.
fn encrypt_in_pieces(kind: MediaKind, key: &MediaKey, plain: &[u8], cut: usize) -> (Vec<u8>, Sealed) {
    let mut encryptor = Encryptor::new(kind, key);
    let mut out = Vec::new();
    plain.chunks(cut).for_each(|piece| encryptor.update(piece, &mut out));
    let sealed = encryptor.finish(&mut out);
    (out, sealed)
}

/// Of all files, also those that were encrypted with the same key, only the one that the message names opens; however it
/// is cut into pieces, the outcome is the same; and no byte of a refused file is released.
pub(crate) fn file(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let (kind, cut) = (script.pick(&MediaKind::ALL), 1 + script.below(700));
    let (says, wrong_kind, wrong_key) = (script.u8(), script.u8() % 8 == 7, script.u8() % 8 == 7);
    let plain = script.long();
    let (original, sealed) = encrypt(kind, &key(1), plain);
    let again = encrypt_in_pieces(kind, &key(1), plain, cut);
    assert_eq!((&again.0, &again.1.file_enc_sha256), (&original, &sealed.file_enc_sha256));
    assert_eq!(Some(original.len() as u64), encrypted_length(plain.len() as u64));
    // What comes: the file as it was, damaged, or another file under the same key.
    let mut came = original.clone();
    let another = script.one_in(4);
    if another {
        came = encrypt(kind, &key(1), script.long()).0;
    } else if !script.is_empty() {
        damage(&mut came, &mut script);
    }
    let key = key(if wrong_key { 2 } else { 1 });
    let kind_read = if wrong_kind { MediaKind::ALL[usize::from(says) % MediaKind::ALL.len()] } else { kind };
    let expected = expected(kind_read, &key, &sealed, says);
    let whole = decrypt(&expected, &came);
    assert_eq!(in_pieces(&expected, &came, cut), whole, "another outcome in pieces of {cut}");
    match whole {
        Ok(opened) => {
            assert!(!wrong_key, "another key opened it");
            assert!(came.len() as u64 <= expected.encrypted_limit());
            if came == original {
                assert_eq!(opened, plain);
            } else {
                // Another good file under this key: the hashes tell it from the one that the message names.
                assert!(another, "a damaged file opened");
                assert!(says & 3 == 0, "a file that the message does not name opened");
                assert!(says & 4 == 0 || opened.len() == plain.len());
            }
        }
        Err(refusal) => {
            let as_it_was = came == original && !wrong_key && kind_read == kind;
            assert!(
                !as_it_was || matches!(refusal, Refusal::TooLarge { .. }),
                "the file as it was: {refusal}"
            );
        }
    }
}

/// What a message says: everything, or, for tools, less.
fn expected(kind: MediaKind, key: &MediaKey, sealed: &Sealed, says: u8) -> Expected {
    let mut expected = Expected::by_key_alone(kind, key.clone(), LIMIT);
    if says & 1 != 0 {
        expected = expected.with_enc_sha256(sealed.file_enc_sha256);
    }
    if says & 2 != 0 {
        expected = expected.with_sha256(sealed.file_sha256);
    }
    if says & 4 != 0 {
        expected = expected.with_length(sealed.file_length);
    }
    expected
}

fn in_pieces(expected: &Expected, came: &[u8], cut: usize) -> Result<Vec<u8>, Refusal> {
    use landbridge_media::DecryptError::{Quarantine, Refused};
    let mut decryptor = Decryptor::new(expected, Vec::new());
    let mut all = || {
        for piece in came.chunks(cut) {
            decryptor.update(piece)?;
        }
        Ok(())
    };
    match all().and_then(|()| decryptor.finish()) {
        Ok(opened) => {
            assert_eq!(opened.file_length, opened.file.len() as u64);
            Ok(opened.file)
        }
        Err(Refused(refusal)) => Err(refusal),
        Err(Quarantine(never)) => match never {},
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn file_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let cases = [(0, 0, 7), (2, 15, 7), (5, 16, 7), (7, 700, 7), (1, 64, 0), (3, 2_999, 3), (2, 3_001, 4)];
    for (kind, length, says) in cases {
        let mut seed = vec![kind, 0, 9, says, 0, 0];
        put_long(&mut seed, &vec![kind; length]);
        seeds.push(seed.clone());
        seeds.push([&seed[..], &[1, 0, 0, 0, 3, 0xff]].concat());
        seeds.push([&seed[..], &[1, 2, 3, 0, 40, 0]].concat());
        seed.push(0);
        put_long(&mut seed, b"another file");
        seeds.push(seed);
    }
    seeds
}

/// What a message says of a file, in any lengths: refused unless key and hashes have 32 bytes, and never beyond the limit.
pub(crate) fn claim(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let present = script.u8();
    let length = u64::from(script.u16());
    let (media_key, enc, plain) = (script.short(), script.short(), script.short());
    let mut claim = Claim::default();
    claim.media_key = (present & 1 != 0).then_some(media_key);
    claim.file_enc_sha256 = (present & 2 != 0).then_some(enc);
    claim.file_sha256 = (present & 4 != 0).then_some(plain);
    claim.file_length = (present & 8 != 0).then_some(length);
    let good = |field: Option<&[u8]>| field.is_some_and(|field| field.len() == 32);
    let whole = good(claim.media_key) && good(claim.file_enc_sha256) && good(claim.file_sha256);
    let fits = claim.file_length.is_none_or(|length| length <= LIMIT);
    let read = Expected::of_message(MediaKind::Image, claim, LIMIT);
    assert_eq!(read.is_ok(), whole && fits);
    let Ok(expected) = read else { return };
    assert_eq!(expected.file_sha256().map(|hash| &hash[..]), claim.file_sha256);
    assert_eq!(expected.encrypted_length(), claim.file_length.and_then(encrypted_length));
    // Nobody knows a file of these hashes.
    assert!(decrypt(&expected, script.rest()).is_err());
}

pub(crate) fn claim_seeds() -> Vec<Vec<u8>> {
    let field = |length: u8| [&[length][..], &vec![7; usize::from(length)]].concat();
    let seed =
        |present, lengths: [u8; 3]| [&[present, 0, 100][..], &lengths.map(field).concat(), &[9; 42]].concat();
    vec![seed(15, [32, 32, 32]), seed(7, [32, 32, 32]), seed(15, [31, 32, 32]), seed(13, [32, 0, 33])]
}

/// A film of three windows, encrypted.
struct Film {
    plain: Vec<u8>,
    encrypted: Vec<u8>,
    reader: RangeReader,
}

static FILM: LazyLock<Film> = LazyLock::new(|| {
    let plain: Vec<u8> = (0..150_001_u32).map(|n| (n.wrapping_mul(n) / 7).to_le_bytes()[0]).collect();
    let (encrypted, sealed) = encrypt(MediaKind::Video, &key(3), &plain);
    let sidecar = sealed.sidecar.expect("a film has one");
    let reader = RangeReader::new(MediaKind::Video, &key(3), sealed.file_length, sidecar)
        .expect("the sidecar is of this film");
    Film { plain, encrypted, reader }
});

/// A part is the film's own bytes, or refused, whatever was fetched for it.
pub(crate) fn range(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let Film { plain, encrypted, reader } = &*FILM;
    let mut place = || u64::from(script.u8()) << 16 | u64::from(script.u16());
    let (from, length) = (place() % 160_000, place() % 40_000);
    let asked = from..from + length;
    let part: Part = match reader.part(asked.clone()) {
        Ok(part) => part,
        Err(_) => {
            assert!(length == 0 || asked.end > plain.len() as u64);
            return;
        }
    };
    let bounds = |range: std::ops::Range<u64>| {
        usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small")
    };
    let fetch = bounds(part.fetch());
    assert!(fetch.start as u64 <= asked.start && encrypted.len() >= fetch.end);
    let mut fetched = encrypted[fetch.clone()].to_vec();
    if script.one_in(2) {
        damage(&mut fetched, &mut script);
    }
    match reader.open(&part, &fetched) {
        Ok(opened) => {
            assert_eq!(fetched, encrypted[fetch], "a damaged part opened");
            assert_eq!(opened[..], plain[bounds(asked)]);
        }
        Err(error) => assert_ne!(fetched, encrypted[fetch], "the film's own bytes are refused: {error}"),
    }
}

pub(crate) fn range_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 0, 0, 0, 0, 1, 1],
        vec![0, 0xff, 0xf0, 0, 0, 0x30, 1],
        vec![2, 0x49, 0xf0, 0, 0, 1, 1],
        vec![1, 0, 0, 0, 0x10, 0, 2, 1, 0, 0, 9, 1],
        vec![0, 0, 17, 0, 1, 0, 0, 3, 0, 0, 8],
    ]
}

/// A path that is accepted stays on the server it is fetched from, and a partner's path names what it was made of.
pub(crate) fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(path) = text.parse::<DownloadPath>() else { return };
    assert_eq!(path.as_str(), text, "the bytes are used as they came");
    let url = path.url("https://mmg.whatsapp.net/");
    let below = url.strip_prefix("https://mmg.whatsapp.net/").expect("the host is another one");
    assert!(!below.starts_with('/') && !url.contains(['\\', '#', ' ', '\n']));
    let plain = below.split('?').next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
    assert!(plain.replace("%2f", "/").split('/').all(|part| part != ".." && part != "."));
    if let Some((integrator, reference)) = path.partner() {
        let again = DownloadPath::of_partner(integrator, &reference);
        assert_eq!(again.partner(), Some((integrator, reference.clone())));
        assert!(text.starts_with(again.as_str().trim_end_matches('/')));
        assert_eq!(reference.as_str().parse(), Ok(reference.clone()));
    }
}

pub(crate) fn path_seeds() -> Vec<Vec<u8>> {
    [
        "/interop/whatsapp/download/1/abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE/",
        "/interop/whatsapp/download/65535/abcdefghijklmnopqrstuv?ccb=11-4&oh=01_Q5&oe=66&mode=auto",
        "/v/t62.7118-24/1234_n.enc?ccb=11-4&oh=01&oe=67&_nc_sid=5e03e0",
        "/a/%2e%2E/b",
        "//host/x",
        "/..",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Previews: a size is told only of what begins like a picture, and more bytes behind change nothing.
pub(crate) fn preview(bytes: &[u8]) {
    let checked = check_thumbnail(bytes);
    assert_eq!(checked.clone().ok(), picture(bytes));
    let Ok(found) = checked else { return };
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") || bytes.starts_with(b"\xff\xd8\xff"));
    assert_eq!(picture(&[bytes, b"\xff\xc0 and more"].concat()), Some(found));
}

pub(crate) fn preview_seeds() -> Vec<Vec<u8>> {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x20\0\0\0\x10\x08\x02\0\0\0".to_vec();
    let jpeg =
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0\0\x11\x08\0\x10\0\x20\x03".to_vec();
    let filled = b"\xff\xd8\xff\xff\xfe\0\x04ab\xff\xc2\0\x11\x08\0\x10\0\x20\x03\x01\x22\0".to_vec();
    vec![png, jpeg, filled, b"\xff\xd8\xff".to_vec()]
}
