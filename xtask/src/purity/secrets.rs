//! How secrets are kept.
//!
//! A type that owns bytes either wipes them when it is dropped, or stands in [`PUBLIC`] with the reason why its bytes
//! are no secret: a type that is new forces a decision. One that wipes neither prints nor compares what it holds by
//! derived code. Types that are made of such types inherit all three.

use super::{
    source::{Source, is_word, item_end},
    words::derives,
};

/// Types whose bytes everybody may see, or that a library keeps: crate, type, why.
const PUBLIC: &[[&str; 3]] = &[
    ["curve", "PublicKey", "public by name"],
    ["noise", "SignedParts", "a certificate as it was received"],
    ["noise", "Header", "the first bytes of a connection, in the clear"],
    ["noise", "Intro", "sent in the clear"],
    ["noise", "IntroReader", "received in the clear"],
    ["noise", "ClientHelloParts", "sealed parts of a message"],
    ["noise", "ServerHelloParts", "sealed parts of a message"],
    ["noise", "ClientFinishParts", "sealed parts of a message"],
    ["noise", "ClientFinish", "a sealed message, to be written"],
    ["noise", "Resumption", "the server's payload, a certificate chain or nothing"],
    ["noise", "ServerIdentity", "the certificate chain; the keys wipe themselves"],
    ["noise", "Hello", "a sealed message, to be written"],
    ["noise", "FrameDecoder", "stanzas, which hold no key; not printed all the same"],
    ["noise", "Unkeyed", "the handshake hash, which is no secret; the chaining key wipes itself"],
    ["noise", "Keyed", "the handshake hash, which is no secret; the chaining key wipes itself"],
    ["noise", "Transport", "the handshake hash, which is no secret"],
    ["signal", "Fingerprint", "hashes of public keys"],
    ["signal", "SignalMessage", "a MAC as it was received"],
    ["signal", "SignedPreKey", "a signature; the key wipes itself"],
    ["signal", "SignedPreKeyPublic", "a signature"],
    ["signal", "Ciphertext", "a sealed message"],
    ["signal", "Decrypted", "a text, which belongs to the caller; not printed"],
    ["enlist", "VerifyingKey", "an RSA public key"],
    ["enlist", "Unverified", "a signature, as the bearer sent it; not printed"],
    ["enlist", "SignedPreKeyPublic", "a signature"],
    ["media", "Opened", "hashes; the file belongs to the caller"],
    ["media", "Decryptor", "the encrypted file; plain bytes and keys wipe themselves"],
    ["media", "Sealed", "hashes, to be written into a message"],
    ["media", "Encryptor", "the encrypted file; plain bytes and keys wipe themselves"],
    ["media", "Expected", "hashes; the key wipes itself"],
    ["media", "Sidecar", "MACs, to be written into a message"],
    ["media", "Windows", "MACs, to be written into a message; the key wipes itself"],
    ["proto", "Content", "a text, which belongs to the caller; not printed"],
    ["proto", "Slots", "borrowed parts of a media message"],
];

/// Types that hold a key inside a type of ring, which cannot be wiped from outside and prints no key.
const HELD_BY_RING: [&str; 2] = ["LessSafeKey", "RsaKeyPair"];

/// The crates where secrets are at home. Wire and stanza carry sealed bytes, public keys and names.
const KEEPERS: [&str; 6] = ["curve", "noise", "signal", "enlist", "proto", "media"];

/// Words of values that are compared in constant time, or not at all.
const GUARDED: [&str; 9] = ["mac", "okm", "password", "private", "psk", "secret", "seed", "token", "tag"];

/// Derived code that would show or compare a secret.
const TELLING: [&str; 8] =
    ["Copy", "Debug", "Deserialize", "Hash", "Ord", "PartialEq", "PartialOrd", "Serialize"];

/// A struct or an enum.
struct Type<'a> {
    source: &'a Source,
    place: String,
    name: &'a str,
    attributes: &'a str,
    /// Its fields, without attributes.
    body: String,
}

/// All faults of all files.
pub(super) fn faults(files: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut excused = Vec::new();
    for source in files {
        let Some(keeper) = KEEPERS.into_iter().find(|name| source.path.split('/').next() == Some(*name))
        else {
            continue;
        };
        for found in types(source) {
            if found.wipes() || found.body.contains("Zeroizing<") || found.is_held_by_ring() {
                faults.extend(found.tells(files));
            }
            if found.wipes() || !owns_bytes(&found.body) {
                continue;
            }
            if PUBLIC.iter().any(|[of, name, _]| (*of, *name) == (keeper, found.name)) {
                excused.push((keeper, found.name.to_owned()));
            } else {
                faults.push(format!("{}: {} owns bytes and does not wipe them", found.place, found.name));
            }
        }
        faults.extend(comparisons(source));
    }
    let stale = PUBLIC.iter().filter(|[of, name, _]| !excused.contains(&(*of, (*name).to_owned())));
    faults.extend(stale.map(|[of, name, why]| format!("{of} has no type {name} to be excused ({why})")));
    faults
}

impl Type<'_> {
    /// Whether its own bytes are gone when it is dropped.
    fn wipes(&self) -> bool {
        derives(self.attributes, "ZeroizeOnDrop")
            || implementation(&self.source.code, "Drop", self.name)
                .is_some_and(|code| code.contains("zeroize()"))
    }

    fn is_held_by_ring(&self) -> bool {
        HELD_BY_RING.iter().any(|name| self.body.contains(name))
    }

    /// How it shows or compares what it holds.
    fn tells(&self, files: &[Source]) -> Vec<String> {
        let Self { place, name, .. } = self;
        let mut faults: Vec<_> = TELLING
            .into_iter()
            .filter(|what| derives(self.attributes, what))
            .map(|what| format!("{place}: {name} holds a secret and derives {what}"))
            .collect();
        if let Some(code) = implementation(&self.source.code, "Debug", name)
            && !takes_all_apart(code)
            && !is_opaque(files, name)
        {
            faults.push(format!("{place}: Debug of {name} does not name every field"));
        }
        if let Some(code) = implementation(&self.source.code, "PartialEq", name)
            && !code.contains("ct_eq(")
        {
            faults.push(format!("{place}: {name} is not compared in constant time"));
        }
        faults
    }
}

/// Whether the code begins by destructuring `Self` without `..`, so that a field more does not compile.
fn takes_all_apart(code: &str) -> bool {
    code.split_once("let Self").is_some_and(|(_, rest)| {
        rest.split_once('=').is_some_and(|(pattern, _)| !pattern.contains("..") && !pattern.contains(';'))
    })
}

/// Whether the type is given to the macro that prints names alone.
fn is_opaque(files: &[Source], name: &str) -> bool {
    files.iter().any(|file| {
        file.code.match_indices("opaque_debug!(").any(|(at, found)| {
            let list = file.code[at + found.len()..].split(')').next().unwrap_or_default();
            list.split(',').any(|item| item.trim().split('<').next() == Some(name))
        })
    })
}

/// The code of `impl … what for name …`.
fn implementation<'a>(code: &'a str, what: &str, name: &str) -> Option<&'a str> {
    let head = format!("{what} for {name}");
    code.match_indices(&head).map(|(at, _)| at).find_map(|at| {
        (!is_word(code.as_bytes().get(at + head.len()))).then(|| &code[at..item_end(code, at)])
    })
}

fn types(source: &Source) -> Vec<Type<'_>> {
    let code = &source.code;
    let mut types = Vec::new();
    for (at, found) in ["struct ", "enum "].into_iter().flat_map(|word| code.match_indices(word)) {
        if at > 0 && is_word(code.as_bytes().get(at - 1)) {
            continue;
        }
        let from = at + found.len();
        let name = &code[from..];
        let length = name.bytes().take_while(|byte| is_word(Some(byte)) || *byte == b'$').count();
        let end = item_end(code, from + length);
        types.push(Type {
            source,
            place: source.place(at),
            name: &name[..length],
            attributes: attributes_before(code, at),
            body: without_attributes(&code[from + length..end]),
        });
    }
    types
}

/// What stands between the item before and `at`.
pub(super) fn attributes_before(code: &str, at: usize) -> &str {
    let from = code[..at].rfind(['{', '}', ';']).map_or(0, |end| end + 1);
    &code[from..at]
}

fn without_attributes(body: &str) -> String {
    let mut rest = String::new();
    let mut pieces = body.split("#[");
    rest.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let mut depth = 1_usize;
        let end = piece.char_indices().find(|(_, c)| {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        rest.push_str(end.map_or("", |(end, _)| &piece[end + 1..]));
    }
    rest
}

/// Whether fields own bytes outside `Zeroizing`; borrowed ones are their owner's.
fn owns_bytes(body: &str) -> bool {
    let mut owned = String::new();
    let mut rest = body;
    while let Some(at) = rest.find(['&', 'Z']) {
        let (before, here) = rest.split_at(at);
        owned.push_str(before);
        if let Some(inner) = here.strip_prefix("Zeroizing<") {
            rest = &inner[closing(inner, '<', '>')..];
        } else if let Some(borrowed) = here.strip_prefix('&') {
            let borrowed =
                borrowed.trim_start_matches(|c: char| c == '\'' || c.is_alphanumeric() || c == '_');
            let borrowed = borrowed.trim_start();
            let borrowed = borrowed.strip_prefix("mut ").unwrap_or(borrowed);
            rest = borrowed.strip_prefix('[').map_or(borrowed, |inner| &inner[closing(inner, '[', ']')..]);
        } else {
            owned.push('Z');
            rest = &here[1..];
        }
    }
    owned.push_str(rest);
    let words = ["token: String", "secret: String", "password: String", "bearer: String"];
    ["[u8", "<u8>", "[u32;", "[u64;", "BytesMut"].iter().chain(&words).any(|bytes| owned.contains(bytes))
}

/// The place behind the bracket that closes what is open at the start.
fn closing(text: &str, open: char, close: char) -> usize {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    text.len()
}

/// Plain comparisons of values that are named like secrets.
fn comparisons(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(source.code.lines()) {
        for (at, _) in ["==", "!="].into_iter().flat_map(|operator| line.match_indices(operator)) {
            let operands = line[..at]
                .rsplit(['(', '{', '&', '|', ','])
                .next()
                .into_iter()
                .chain(line[at + 2..].split([')', '{', '&', '|', ',']).next());
            for operand in operands {
                let length = operand.contains(".len()") || operand.contains("_len");
                let mut words = operand.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                if let Some(word) = words.find(|word| GUARDED.contains(word)).filter(|_| !length) {
                    faults.push(format!(
                        "{}:{number}: {word} is compared by {}",
                        source.path,
                        &line[at..at + 2]
                    ));
                }
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str) -> Vec<String> {
        let source = Source { path: "curve/src/x.rs".to_owned(), code: code.to_owned() };
        let mut faults = faults(&[source]);
        faults.retain(|fault| !fault.contains("to be excused"));
        faults
    }

    #[test]
    fn bytes_are_wiped_or_excused() {
        assert_eq!(
            check("struct A { a: u8, b: [u8; 32] }"),
            ["curve/src/x.rs:1: A owns bytes and does not wipe them"]
        );
        assert_eq!(check("enum A { B(Vec<u8>), C }").len(), 1);
        assert_eq!(check("struct A<'a> { a: &'a [u8], b: &'a [u8; 4], c: &'a mut [u8] }"), [""; 0]);
        assert_eq!(check("struct A { a: Zeroizing<Vec<u8>>, b: u64 }"), [""; 0]);
        assert_eq!(check("#[derive(Clone, ZeroizeOnDrop)]\nstruct A([u8; 32]);"), [""; 0]);
        assert_eq!(
            check("struct A([u8; 32]); impl Drop for A { fn drop(&mut self) { self.0.zeroize(); } }"),
            [""; 0]
        );
        assert_eq!(
            check("struct A([u8; 32]); impl Drop for AB { fn drop(&mut self) { self.0.zeroize(); } }").len(),
            1
        );
        assert_eq!(check("struct A { token: String }").len(), 1);
    }

    #[test]
    fn what_is_wiped_is_not_told() {
        let debug = "#[derive(Debug)]\nstruct A(Zeroizing<Vec<u8>>);";
        assert_eq!(check(debug), ["curve/src/x.rs:2: A holds a secret and derives Debug"]);
        let equal =
            "struct A(Zeroizing<u8>); impl PartialEq for A { fn eq(&self, o: &A) -> bool { self.0 == o.0 } }";
        assert_eq!(check(equal), ["curve/src/x.rs:1: A is not compared in constant time"]);
        let some =
            "struct A { a: Zeroizing<u8> } impl fmt::Debug for A { fn fmt() { let Self { .. } = self; } }";
        assert_eq!(check(some).len(), 1);
        let all =
            "struct A { a: Zeroizing<u8> } impl fmt::Debug for A { fn fmt() { let Self { a: _ } = self; } }";
        assert_eq!(check(all), [""; 0]);
    }

    #[test]
    fn guarded_values_are_not_compared_plainly() {
        assert_eq!(check("if mac == other {}"), ["curve/src/x.rs:1: mac is compared by =="]);
        assert_eq!(check("if mac.len() == 8 && a != b {}"), [""; 0]);
    }
}
