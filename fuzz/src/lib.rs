//! Properties of every reader of outside bytes, as targets for fuzzers and for plain tests.
//!
//! A target takes any bytes and asserts more than that nothing panics: that what is accepted prints back the same, that
//! two readers agree, that a refusal leaves no trace, that nothing opens twice. The libFuzzer package in `libfuzzer/`
//! searches for bytes that break one; `cargo test` replays what was found, and tries some thousand changed seeds.
//!
//! ```
//! let target = landbridge_fuzz::find("wire_payload").ok_or("no such target")?;
//! (target.run)(&[0, 0xf8, 0x01, 0x13]);
//! # Ok::<(), &str>(())
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken property is told by a panic, as in tests"
)]

mod client_sandbox;
mod config;
mod enlist;
mod http;
mod input;
mod jwks;
mod jwt;
mod media;
mod noise_certificate;
mod noise_handshake;
mod noise_sides;
mod noise_stream;
mod partner;
mod profile;
mod proto;
mod proxy;
mod signal;
mod signal_group_peers;
mod signal_keys;
mod signal_peers;
mod signal_world;
mod stanza;
mod vectors;
mod wire;
mod wire_build;
mod wire_text;

/// A property that must hold for any bytes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Target {
    /// Its name, which is also the name of its folders in `corpus/` and `regressions/`.
    pub name: &'static str,
    /// What is read and what must hold, in a few words.
    pub about: &'static str,
    /// Longest input that is of use, in bytes.
    pub max_len: usize,
    /// Panics if the property does not hold for the bytes.
    pub run: fn(&[u8]),
    /// Inputs to begin with, made from the test vectors and from genuine peers.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:literal $max_len:literal $run:path, $seeds:path, $about:literal;)*) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$(Target {
            name: $name,
            about: $about,
            max_len: $max_len,
            run: $run,
            seeds: $seeds,
        }),*];
    };
}

targets! {
    "wire_payload" 4096 wire::payload, wire::payload_seeds, "payloads: borrowed = owned; survive both packings, XML, JSON";
    "wire_inflate" 4096 wire::inflate, wire::inflate_seeds, "compressed payloads: the limit holds, another inflater agrees";
    "wire_xml" 2048 wire_text::xml, wire_text::xml_seeds, "XML: what is accepted prints back and reads the same";
    "wire_json" 4096 wire_text::json, wire_text::json_seeds, "JSON nodes: what is accepted prints back and reads the same";
    "wire_jid" 128 wire_text::jid, wire_text::jid_seeds, "JIDs: what is accepted prints back the same and travels";
    "wire_build" 1024 wire_build::build_and_read, wire_build::seeds, "built nodes agree with a model, also after travelling";
    "noise_frames" 4096 noise_stream::frames, noise_stream::frame_seeds, "frames: any cutting gives the frames of a plain reading";
    "noise_intro" 4200 noise_stream::intro, noise_stream::intro_seeds, "intro: any cutting gives the same, and it writes back";
    "noise_server" 4096 noise_handshake::server, noise_handshake::server_seeds, "server: any messages; only the client's own end";
    "noise_client" 4096 noise_handshake::client, noise_handshake::client_seeds, "client: any answer; only the server's own ends";
    "noise_sides" 1024 noise_sides::run, noise_sides::seeds, "both sides and a meddler: XX, IK, XXfallback, then frames";
    "noise_certificate" 2048 noise_certificate::run, noise_certificate::seeds, "chains: only the authority's, and a second reading agrees";
    "proto_strict" 4096 proto::strict, proto::strict_seeds, "strict reader: refuses all that prost refuses";
    "proto_content" 4096 proto::judged, proto::judged_seeds, "content: bytes kept, verdict not milder than findings";
    "proto_login" 4800 proto::login, proto::login_seeds, "login: what is accepted comes back from the own encoder";
    "proto_padding" 600 proto::pad, proto::pad_seeds, "padding: comes off exactly when a second reading says so";
    "signal_parsers" 1024 signal::parsers, signal::parser_seeds, "message readers: agree with prost";
    "signal_session" 1024 signal::session, signal::session_seeds, "decrypt: only what was written; a refusal leaves no trace";
    "signal_sender_key" 1024 signal::sender_key, signal::sender_key_seeds, "group decrypt and distribution: the same";
    "signal_records" 4096 signal::records, signal::record_seeds, "stored records: written back the same, and usable";
    "signal_peers" 512 signal_peers::run, signal_peers::seeds, "two peers on a bad network: each message opens once";
    "signal_group_peers" 512 signal_group_peers::run, signal_group_peers::seeds, "a group on a bad network: each message opens once";
    "signal_bundle" 160 signal_keys::bundle, signal_keys::bundle_seeds, "bundles: only signed, agreeable keys begin a session";
    "signal_safety_code" 256 signal_keys::code, signal_keys::code_seeds, "scanned safety numbers: fit only the right one";
    "jwt_token" 4200 jwt::token, jwt::token_seeds, "tokens: none but those that were issued";
    "jwt_claims" 2048 jwt::claims, jwt::claim_seeds, "well-signed tokens: a second reading of the rules agrees";
    "jwks_document" 6200 jwks::document, jwks::document_seeds, "key sets: every key usable or named as dropped";
    "jwks_cache" 1024 jwks::cache, jwks::cache_seeds, "the cache over time agrees with a model";
    "enlist_form" 4096 enlist::form, enlist::form_seeds, "forms: what is accepted comes back from the own encoder";
    "enlist_reply" 1024 enlist::reply, enlist::reply_seeds, "answers: what is accepted is written and read the same";
    "enlist_names" 256 enlist::names, enlist::name_seeds, "logins, integrators, identifiers print back the same";
    "http1_heads" 4096 http::heads, http::head_seeds, "heads: any cutting lets the same go on, and hyper finds the same requests";
    "http2_frames" 6200 http::frames, http::frame_seeds, "frames: any cutting gives those of a plain reading";
    "proxy_header" 4200 proxy::run, proxy::seeds, "PROXY headers: whole at their length, write back the same";
    "stanza_payload" 4096 stanza::payload, stanza::payload_seeds, "typed stanzas from the wire are stable";
    "stanza_built" 1024 stanza::built, stanza::built_seeds, "typed stanzas from built nodes are stable";
    "client_sandbox" 512 client_sandbox::run, client_sandbox::seeds, "client, phone, sandbox: all is shown once, whatever happens";
    "config" 8192 config::run, config::seeds, "configuration: reprints, no unknown key passes, one line says what is wrong";
    "media_file" 4096 media::file, media::file_seeds, "files: only the one that the message names opens, however cut";
    "media_claim" 512 media::claim, media::claim_seeds, "what a message says of a file: whole, or refused";
    "media_range" 64 media::range, media::range_seeds, "parts of a film: its own bytes, or refused";
    "media_path" 2200 media::path, media::path_seeds, "download paths: stay on their server, name their file";
    "media_preview" 600 media::preview, media::preview_seeds, "previews: a size only of what begins like a picture";
    "push_body" 4200 partner::push, partner::push_seeds, "pushes: a second reading of the body agrees";
    "wake_target" 2600 partner::target, partner::target_seeds, "addresses of devices: survive storing, stay in their place";
    "profile" 8192 profile::run, profile::seeds, "profiles: TOML and JSON say the same";
}

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
