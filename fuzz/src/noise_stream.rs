//! What comes before the handshake, and the frames.

use landbridge_noise::{
    FrameDecoder, FrameError, Header, Intro, IntroReader, MAX_HANDSHAKE_FRAME, MAX_ROUTING_INFO, PREFIX_LEN,
    encode_frame,
};

use crate::{input::Input, vectors};

/// Frames are the same however the stream is cut, and are those that a plain reading of the lengths gives.
pub(crate) fn frames(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let cuts: Vec<usize> = script.short().iter().map(|cut| usize::from(*cut)).collect();
    let switch_after = script.below(4);
    let stream = script.rest();

    let mut decoder = FrameDecoder::new();
    let mut found = Vec::new();
    let mut rest = stream;
    let mut failure = None;
    let mut cuts = cuts.into_iter();
    while failure.is_none() && !rest.is_empty() {
        let (chunk, behind) = rest.split_at(cuts.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        rest = behind;
        if chunk.len() % 2 == 0 {
            decoder.feed(chunk);
        } else {
            decoder.read_buf().extend_from_slice(chunk);
        }
        failure = drain(&mut decoder, &mut found, switch_after);
    }
    if failure.is_some() {
        assert_eq!(decoder.next_frame().err(), failure, "an error does not go away");
    }

    let (expected, broken) = plain_frames(stream, switch_after);
    assert_eq!(found, expected);
    assert_eq!(failure.is_some(), broken.is_some());
    if let (Some(FrameError::TooLong { got, position, .. }), Some((at, length))) = (failure, broken) {
        assert_eq!((got, position), (length, at as u64));
    }
    if failure.is_none() {
        let read: usize = found.iter().map(|frame| frame.len() + PREFIX_LEN).sum();
        assert_eq!(decoder.into_rest(), &stream[read..]);
    }
    let mut written = Vec::new();
    found
        .iter()
        .for_each(|frame| encode_frame(frame, &mut written).expect("a frame that was read is not too long"));
    assert!(stream.starts_with(&written));
}

fn drain(decoder: &mut FrameDecoder, found: &mut Vec<Vec<u8>>, switch_after: usize) -> Option<FrameError> {
    loop {
        if found.len() == switch_after {
            decoder.switch_to_transport();
        }
        match decoder.next_frame() {
            Ok(Some(frame)) => found.push(frame.to_vec()),
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// The frames, and offset and length of one that is too long.
fn plain_frames(stream: &[u8], switch_after: usize) -> (Vec<Vec<u8>>, Option<(usize, usize)>) {
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Some([a, b, c]) = stream.get(at..at + PREFIX_LEN) {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if length > MAX_HANDSHAKE_FRAME && frames.len() < switch_after {
            return (frames, Some((at, length)));
        }
        let Some(body) = stream.get(at + PREFIX_LEN..at + PREFIX_LEN + length) else { break };
        frames.push(body.to_vec());
        at += PREFIX_LEN + length;
    }
    (frames, None)
}

pub(crate) fn frame_seeds() -> Vec<Vec<u8>> {
    let streams = vectors::hex_under(&vectors::framing(), &["stream"]);
    let mut seeds = Vec::new();
    for stream in streams {
        seeds.push([&[0, 1][..], &stream].concat());
        seeds.push([&[3, 1, 2, 5, 2][..], &stream].concat());
    }
    seeds.push([&[2, 1, 1, 0][..], &[0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 1, 9]].concat());
    seeds.push(vec![0, 3, 1, 0, 0, 0]);
    seeds
}

/// The intro is read alike in one piece and byte by byte, and writes back to what was read.
pub(crate) fn intro(bytes: &[u8]) {
    let Some((&choice, stream)) = bytes.split_first() else { return };
    let expected = if choice % 2 == 0 { Header::DEFAULT } else { Header::new(5, choice) };
    let mut whole = IntroReader::new(expected);
    let mut rest = stream;
    let at_once = whole.read(&mut rest);

    let mut pieces = IntroReader::new(expected);
    let mut by_byte = Ok(None);
    let mut taken = 0;
    for at in 0..stream.len() {
        let mut one = &stream[at..=at];
        by_byte = pieces.read(&mut one);
        taken += 1 - one.len();
        if !matches!(by_byte, Ok(None)) {
            break;
        }
    }
    assert_eq!(at_once, by_byte);
    assert_eq!(stream.len() - rest.len(), taken, "both take the same bytes");
    match at_once {
        Ok(Some(intro)) => {
            assert_eq!(intro.header(), expected);
            let mut written = Vec::new();
            intro.encode(&mut written);
            assert_eq!(written, stream[..taken]);
            assert!(intro.routing().is_none_or(|routing| routing.len() <= MAX_ROUTING_INFO));
            if let Some(routing) = intro.routing() {
                assert_eq!(Intro::new(expected).with_routing(routing).as_ref(), Ok(&intro));
            }
        }
        Ok(None) => assert!(rest.is_empty()),
        Err(error) => assert_eq!(whole.read(&mut rest), Err(error), "an error does not go away"),
    }
}

pub(crate) fn intro_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for stream in vectors::hex_under(&vectors::framing(), &["stream"]) {
        seeds.push([&[0], &*stream].concat());
    }
    for routing in [&b""[..], b"abc"] {
        let mut seed = vec![0];
        Intro::default().with_routing(routing).expect("short").encode(&mut seed);
        seeds.push(seed);
    }
    seeds.push(vec![0, 0x45, 0x44, 0, 1, 0, 0x10, 1]);
    seeds.push(vec![3, b'W', b'A', 5, 3, 9]);
    seeds
}
