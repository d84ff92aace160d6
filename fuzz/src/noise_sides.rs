//! Both sides of a connection, and somebody between them who changes and cuts what they send.

use landbridge_noise::{
    FrameDecoder, Hello, OpenError, Opener, Pattern, Resumption, Sealer, ServerTrust as _, Transport,
};
use landbridge_proto::handshake::HandshakeMessage;
use prost::Message as _;

use crate::{
    input::{Input, damage},
    noise_handshake::{LOGIN, NOW, WORLD, body, first_body},
};

/// What reaches the other side: the frame, or what the script makes of it. Says whether the message in it has changed.
fn carry(frame: &[u8], script: &mut Input<'_>) -> (Vec<u8>, bool) {
    let mut carried = frame.to_vec();
    if script.u8() % 4 == 3 {
        damage(&mut carried, script);
    }
    let changed = match (HandshakeMessage::decode(&*carried), HandshakeMessage::decode(frame)) {
        (Ok(one), Ok(other)) => one != other,
        _ => true,
    };
    (carried, changed)
}

/// Untouched handshakes end on both sides with equal hashes; a changed message never ends on both sides, unless it was
/// an attempt to resume and the full handshake took its place. What is then sealed opens in order, once, unchanged.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let ends = match script.u8() % 4 {
        0 => xx(&mut script),
        1 => ik(&mut script, true),
        2 => ik(&mut script, false),
        _ => stale(&mut script),
    };
    let Some((client, server)) = ends else { return };
    assert_eq!(client.handshake_hash, server.handshake_hash);
    let (Transport { sealer: a, opener: b, .. }, Transport { sealer: c, opener: d, .. }) = (client, server);
    let mut ways = [Way::new(a, d), Way::new(c, b)];
    let mut actions = 0;
    while !script.is_empty() && actions < 64 {
        actions += 1;
        let way = script.u8();
        ways[usize::from(way & 1)].act(way >> 1, &mut script);
    }
}

fn xx(script: &mut Input<'_>) -> Option<(Transport, Transport)> {
    let world = &*WORLD;
    let (client, hello) = world.client().xx().expect("XX begins");
    let (hello, first_changed) = carry(first_body(&hello), script);
    let server = world.server().read(&hello);
    let (state, answer) = match server {
        Ok(Hello::Answered { state, write }) => (state, write),
        Ok(Hello::Resume(_)) => panic!("nobody tried to resume"),
        Err(_) => return refused(first_changed),
    };
    let (answer, second_changed) = carry(body(&answer), script);
    let client = match client.read(&answer, &world.authority.trust(), NOW) {
        Ok(client) => client,
        Err(_) => return refused(first_changed || second_changed),
    };
    assert!(!first_changed && !second_changed, "the client believed a changed handshake");
    let finish = client.finish(LOGIN).expect("a short payload");
    let (sent, third_changed) = carry(body(&finish.write), script);
    match state.read(&sent) {
        Ok(established) => {
            assert!(!third_changed, "the server believed a changed ClientFinish");
            assert_eq!(established.pattern, Pattern::Xx);
            assert_eq!(established.payload.as_slice(), LOGIN);
            Some((finish.transport, established.transport))
        }
        Err(_) => refused(third_changed),
    }
}

/// An attempt that the server takes, or answers with the full handshake.
fn ik(script: &mut Input<'_>, accept: bool) -> Option<(Transport, Transport)> {
    let world = &*WORLD;
    let (client, hello) = world.client().ik(&world.known, NOW, LOGIN).expect("IK begins");
    let (hello, first_changed) = carry(first_body(&hello), script);
    match world.server().read(&hello) {
        Err(_) => refused(first_changed),
        Ok(Hello::Resume(resume)) if accept => {
            assert!(!first_changed, "the server took a changed attempt");
            let (established, answer) = resume.accept(b"").expect("good keys");
            let (answer, second_changed) = carry(body(&answer), script);
            match client.read(&answer, &world.authority.trust(), NOW) {
                Ok(Resumption::Accepted { transport, .. }) => {
                    assert!(!second_changed, "the client believed a changed answer");
                    Some((transport, established.transport))
                }
                Ok(Resumption::FellBack(_)) => panic!("nobody fell back"),
                Err(_) => refused(second_changed),
            }
        }
        Ok(Hello::Resume(resume)) => {
            let (state, answer) = resume.fall_back().expect("good keys");
            fallback(client, state, &answer, false, script)
        }
        Ok(Hello::Answered { state, write }) => {
            assert!(first_changed, "an attempt with the right key was not read");
            fallback(client, state, &write, true, script)
        }
    }
}

/// An attempt with a key that the server does not have any more.
fn stale(script: &mut Input<'_>) -> Option<(Transport, Transport)> {
    let world = &*WORLD;
    let (client, hello) = world.client().ik(&world.stale(), NOW, LOGIN).expect("IK begins");
    let (hello, first_changed) = carry(first_body(&hello), script);
    match world.server().read(&hello) {
        Err(_) => refused(first_changed),
        Ok(Hello::Resume(_)) => panic!("the server read what was sealed for another"),
        Ok(Hello::Answered { state, write }) => fallback(client, state, &write, first_changed, script),
    }
}

fn fallback(
    client: landbridge_noise::AwaitResumption,
    state: landbridge_noise::AwaitClientFinish,
    answer: &[u8],
    first_changed: bool,
    script: &mut Input<'_>,
) -> Option<(Transport, Transport)> {
    let world = &*WORLD;
    let (answer, second_changed) = carry(body(answer), script);
    let finish = match client.read(&answer, &world.authority.trust(), NOW) {
        Ok(Resumption::FellBack(finish)) => finish,
        Ok(Resumption::Accepted { .. }) => panic!("the server did not resume"),
        Err(error) => {
            assert!(first_changed || second_changed, "{error}");
            return None;
        }
    };
    // Only the ephemeral key of the attempt is part of the handshake that took its place.
    assert!(!second_changed, "the client believed a changed answer");
    let known = world.authority.trust().verify(world.identity.chain(), finish.server.key(), NOW);
    assert_eq!(known.ok().as_ref(), Some(&finish.server));
    let (sent, third_changed) = carry(body(&finish.write), script);
    match state.read(&sent) {
        // An attempt that became another pattern on the way cannot end here.
        Ok(established) => {
            assert!(!third_changed, "the server believed a changed ClientFinish");
            assert_eq!(established.pattern, Pattern::XxFallback);
            Some((finish.transport, established.transport))
        }
        Err(_) => refused(third_changed),
    }
}

fn refused<T>(something_changed: bool) -> Option<T> {
    assert!(something_changed, "an untouched handshake was refused");
    None
}

/// One direction.
struct Way {
    sealer: Sealer,
    opener: Opener,
    decoder: FrameDecoder,
    /// Sealed and not yet handed to the decoder.
    wire: Vec<u8>,
    /// Plaintexts in order; `None` is an empty one, which no opener takes.
    expected: std::collections::VecDeque<Option<Vec<u8>>>,
    /// The stream was changed: nothing that was changed may open.
    tampered: bool,
    over: bool,
}

impl Way {
    fn new(sealer: Sealer, opener: Opener) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.switch_to_transport();
        let expected = std::collections::VecDeque::new();
        Self { sealer, opener, decoder, wire: Vec::new(), expected, tampered: false, over: false }
    }

    fn act(&mut self, action: u8, script: &mut Input<'_>) {
        match action % 8 {
            0..=2 => {
                let text = script.short();
                let before = self.sealer.counter();
                self.sealer.seal_frame(text, &mut self.wire).expect("counters are left");
                assert_eq!(self.sealer.counter(), before + 1);
                self.expected.push_back((!text.is_empty()).then(|| text.to_vec()));
            }
            3..=5 => {
                let count = usize::from(script.u16()).min(self.wire.len());
                let chunk: Vec<u8> = self.wire.drain(..count).collect();
                self.decoder.feed(&chunk);
                self.open_all();
            }
            6 => {
                let chunk = std::mem::take(&mut self.wire);
                self.decoder.feed(&chunk);
                self.open_all();
            }
            _ => {
                let before = self.wire.clone();
                damage(&mut self.wire, script);
                self.tampered |= before != self.wire;
            }
        }
    }

    fn open_all(&mut self) {
        loop {
            let frame = match self.decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(_) => {
                    assert!(self.tampered);
                    return;
                }
            };
            let opened = self.opener.open_in_place(frame).map(|text| text.to_vec());
            if self.over {
                assert!(matches!(opened, Err(OpenError::Poisoned { .. })), "opened after a refusal");
                continue;
            }
            match (opened, self.expected.pop_front()) {
                // What opens is the next text, also on a changed stream.
                (Ok(text), Some(Some(expected))) => assert_eq!(text, expected),
                (Err(OpenError::EmptyPlaintext { .. }), Some(None)) => self.over = true,
                (Err(_), _) => {
                    assert!(self.tampered, "an untouched frame was refused");
                    self.over = true;
                }
                (opened, expected) => panic!("{opened:?} instead of {expected:?}"),
            }
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let talk = [0, 3, 1, 2, 3, 12, 1, 2, 9, 9, 6, 0, 2, 13, 13, 0, 4, 0, 7, 7, 7, 7, 12];
    let tampered = [0, 3, 1, 2, 3, 14, 0, 0, 0, 5, 1, 12];
    let mut seeds = Vec::new();
    for pattern in 0..4 {
        seeds.push([&[pattern, 0, 0, 0][..], &talk].concat());
        seeds.push([&[pattern, 0, 0, 0][..], &tampered].concat());
        seeds.push(vec![pattern, 3, 0, 0, 0, 10, 1]);
        seeds.push(vec![pattern, 0, 3, 0, 0, 0, 60, 1]);
        seeds.push(vec![pattern, 0, 0, 3, 0, 0, 0, 60, 1]);
    }
    seeds
}
