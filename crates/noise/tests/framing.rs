//! Frames and intros, whole and in pieces.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic, in its helpers too")]

mod common;

use common::{bytes, load, sha256};
use landbridge_noise::{
    EAGER_CAP, FrameDecoder, FrameError, Header, Intro, IntroError, IntroReader, MAX_FRAME,
    MAX_HANDSHAKE_FRAME, MAX_ROUTING_INFO, encode_frame,
};
use proptest::prelude::*;
use serde_json::Value;

/// What a stream turned out to be.
#[derive(Debug, PartialEq)]
struct Read {
    intro: Option<Intro>,
    frames: Vec<Vec<u8>>,
    rest: Vec<u8>,
}

/// Feeds `stream` in pieces of at most `piece` bytes.
fn read(stream: &[u8], piece: usize, with_intro: bool, in_place: bool) -> Read {
    let mut reader = with_intro.then(|| IntroReader::new(Header::DEFAULT));
    let mut decoder = FrameDecoder::new();
    decoder.switch_to_transport();
    let (mut intro, mut frames) = (None, Vec::new());
    for mut piece in stream.chunks(piece) {
        if let Some(waiting) = &mut reader {
            let Some(found) = waiting.read(&mut piece).unwrap() else { continue };
            (intro, reader) = (Some(found), None);
        }
        if in_place {
            let buffer = decoder.read_buf();
            assert!(buffer.capacity() > buffer.len());
            buffer.extend_from_slice(piece);
        } else {
            decoder.feed(piece);
        }
        while let Some(frame) = decoder.next_frame().unwrap() {
            frames.push(frame.to_vec());
        }
    }
    Read { intro, frames, rest: decoder.into_rest().to_vec() }
}

fn stream_of(case: &Value) -> Vec<u8> {
    if let Some(stream) = case.get("stream") {
        return bytes(stream);
    }
    let mut stream = Vec::new();
    encode_frame(&(0..70_000_u32).map(|i| (5 * i) as u8).collect::<Vec<_>>(), &mut stream).unwrap();
    encode_frame(&[0], &mut stream).unwrap();
    assert_eq!(sha256(&stream), case["stream_sha256"].as_str().unwrap());
    stream
}

#[test]
fn vectors() {
    let file = load("framing");
    let splits: Vec<usize> =
        file["splits"].as_array().unwrap().iter().map(|split| split.as_u64().unwrap() as usize).collect();
    for case in file["decode"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let stream = stream_of(case);
        let with_intro = !case["intro"].is_null();
        let whole = read(&stream, usize::MAX, with_intro, false);
        assert_eq!(hex::encode(&whole.rest), case["rest"].as_str().unwrap(), "{name}");
        let frames: Vec<Value> = whole
            .frames
            .iter()
            .map(|frame| serde_json::json!({ "length": frame.len(), "sha256": sha256(frame) }))
            .collect();
        assert_eq!(Value::Array(frames), case["frames"], "{name}");
        if let Some(intro) = &whole.intro {
            let routing = intro.routing().map(hex::encode);
            assert_eq!(serde_json::json!(routing), case["intro"]["routing"], "{name}");
            let mut again = Vec::new();
            intro.encode(&mut again);
            assert_eq!(again, stream[..again.len()], "{name}");
        }
        // A piece for each split of the file; small streams in pieces of every size there is.
        let sizes = if stream.len() < 2_000 { (1..=stream.len()).collect() } else { splits.clone() };
        for size in sizes.iter().chain(&splits) {
            for in_place in [false, true] {
                assert_eq!(read(&stream, *size, with_intro, in_place), whole, "{name} in pieces of {size}");
            }
        }
    }
}

#[test]
fn encode_limits() {
    for case in load("framing")["encode_limits"].as_array().unwrap() {
        let length = case["length"].as_u64().unwrap() as usize;
        let mut out = vec![9];
        match encode_frame(&vec![0; length], &mut out) {
            Ok(()) => assert_eq!(hex::encode(&out[1..4]), case["prefix"].as_str().unwrap()),
            Err(error) => {
                assert_eq!(case["verdict"], "too_large");
                assert_eq!(error, FrameError::TooLarge { limit: MAX_FRAME, got: length });
                assert_eq!(out, [9], "nothing is left behind");
            }
        }
    }
}

#[test]
fn handshake_frames_are_bounded_and_the_switch_keeps_what_follows() {
    let mut decoder = FrameDecoder::new();
    let mut stream = Vec::new();
    encode_frame(&vec![1; MAX_HANDSHAKE_FRAME], &mut stream).unwrap();
    encode_frame(&vec![2; MAX_HANDSHAKE_FRAME + 1], &mut stream).unwrap();
    decoder.feed(&stream);
    assert_eq!(decoder.next_frame().unwrap().unwrap().len(), MAX_HANDSHAKE_FRAME);
    let too_long = FrameError::TooLong {
        limit: MAX_HANDSHAKE_FRAME,
        got: MAX_HANDSHAKE_FRAME + 1,
        position: MAX_HANDSHAKE_FRAME as u64 + 3,
    };
    assert_eq!(decoder.next_frame(), Err(too_long));
    assert_eq!(decoder.next_frame(), Err(too_long), "the stream stays lost");

    let mut decoder = FrameDecoder::new();
    decoder.feed(&stream);
    assert!(decoder.next_frame().unwrap().is_some());
    decoder.switch_to_transport();
    assert_eq!(decoder.next_frame().unwrap().unwrap(), vec![2; MAX_HANDSHAKE_FRAME + 1]);
}

#[test]
fn announced_lengths_cost_nothing() {
    let mut decoder = FrameDecoder::new();
    decoder.switch_to_transport();
    decoder.feed(&[0xff; 3]);
    assert_eq!(decoder.next_frame(), Ok(None));
    let buffer = decoder.read_buf();
    let room = buffer.capacity();
    assert!(room <= 2 * EAGER_CAP, "{room} bytes reserved for a frame of which nothing is there");
}

#[test]
fn one_large_frame_leaves_no_large_buffer() {
    let mut decoder = FrameDecoder::new();
    decoder.switch_to_transport();
    let mut stream = Vec::new();
    encode_frame(&vec![0; 1 << 20], &mut stream).unwrap();
    decoder.feed(&stream);
    assert!(decoder.next_frame().unwrap().is_some());
    assert_eq!(decoder.next_frame(), Ok(None));
    assert!(decoder.into_rest().capacity() <= EAGER_CAP);
}

#[test]
fn intro_refusals() {
    let refused = |stream: &[u8]| IntroReader::new(Header::DEFAULT).read(&mut &stream[..]).unwrap_err();
    assert_eq!(refused(b"GET / "), IntroError::Header { position: 0, expected: b'W', got: b'G' });
    assert_eq!(refused(&[0x57, 0x41, 0x05]), IntroError::Header { position: 2, expected: 6, got: 5 });
    assert_eq!(refused(b"EDx"), IntroError::Header { position: 2, expected: 0, got: b'x' });
    let after_routing = [0x45, 0x44, 0, 1, 0, 0, 1, 0xaa, 0x57, 0x42];
    assert_eq!(refused(&after_routing), IntroError::Header { position: 9, expected: 0x41, got: 0x42 });
    let long = IntroError::RoutingTooLong { limit: MAX_ROUTING_INFO, got: MAX_ROUTING_INFO + 1 };
    assert_eq!(refused(&[0x45, 0x44, 0, 1, 0, 0x10, 0x01]), long);
    assert_eq!(Intro::default().with_routing(vec![0; MAX_ROUTING_INFO + 1]), Err(long));

    let mut reader = IntroReader::new(Header::DEFAULT);
    for bytes in [&b"X"[..], b"A\x06\x03", b""] {
        let again = reader.read(&mut &bytes[..]);
        assert_eq!(again, Err(IntroError::Header { position: 0, expected: b'W', got: b'X' }));
    }
    let header = Header::from_bytes(*b"WB\x06\x03");
    assert_eq!(header, Err(IntroError::Header { position: 1, expected: b'A', got: b'B' }));
}

proptest! {
    #[test]
    fn any_frames_in_any_pieces(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..12),
        routing in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
        tail in prop::collection::vec(any::<u8>(), 0..3),
        cuts in prop::collection::vec(1_usize..60, 1..40),
    ) {
        let mut intro = Intro::default();
        if let Some(routing) = routing {
            intro = intro.with_routing(routing)?;
        }
        let mut stream = Vec::new();
        intro.encode(&mut stream);
        for body in &bodies {
            encode_frame(body, &mut stream)?;
        }
        stream.extend_from_slice(&tail);

        let (mut reader, mut decoder) = (IntroReader::new(Header::DEFAULT), FrameDecoder::new());
        let (mut found, mut frames, mut left, mut cuts) = (None, Vec::new(), &stream[..], cuts.iter().cycle());
        while !left.is_empty() {
            let (mut piece, rest) = left.split_at(left.len().min(*cuts.next().unwrap()));
            left = rest;
            if found.is_none() {
                found = reader.read(&mut piece)?;
            }
            decoder.feed(piece);
            while let Some(frame) = decoder.next_frame()? {
                frames.push(frame.to_vec());
            }
        }
        prop_assert_eq!(found, Some(intro));
        prop_assert_eq!(frames, bodies);
        prop_assert_eq!(decoder.into_rest(), tail);
    }

    #[test]
    fn arbitrary_streams_do_not_panic(stream in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = IntroReader::new(Header::DEFAULT).read(&mut &stream[..]);
        let mut decoder = FrameDecoder::new();
        decoder.feed(&stream);
        while let Ok(Some(_)) = decoder.next_frame() {}
    }
}
