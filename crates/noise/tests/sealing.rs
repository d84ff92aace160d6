//! What the sealer refuses, and what it leaves behind.

use landbridge_noise::{MAX_FRAME, MAX_PLAINTEXT, OpenError, Opener, SealError, Sealer, danger};

fn pair() -> (Sealer, Opener) {
    (danger::sealer_from_key(&[2; 32]), danger::opener_from_key(&[2; 32]))
}

#[test]
fn the_largest_plaintext_fits_and_one_more_does_not() {
    let (mut sealer, mut opener) = pair();
    let mut out = Vec::new();
    sealer.seal_frame(&vec![1; MAX_PLAINTEXT], &mut out).unwrap();
    assert_eq!((out.len(), &out[..3]), (MAX_FRAME + 3, &[0xff; 3][..]));
    assert_eq!(opener.open_in_place(&mut out[3..]).unwrap().len(), MAX_PLAINTEXT);

    let mut out = vec![7];
    let too_large = SealError::TooLarge { limit: MAX_PLAINTEXT, got: MAX_PLAINTEXT + 1 };
    assert_eq!(sealer.seal_frame(&vec![1; MAX_PLAINTEXT + 1], &mut out), Err(too_large));
    assert_eq!((out, sealer.counter()), (vec![7], 1), "the counter has not moved");
}

#[test]
fn nothing_is_sealed_after_a_failed_write() {
    let (mut sealer, _) = pair();
    sealer.poison();
    let mut out = b"abc".to_vec();
    assert_eq!(sealer.seal_frame(b"x", &mut out), Err(SealError::Poisoned));
    assert_eq!(sealer.seal_in_place(&mut out), Err(SealError::Poisoned));
    assert_eq!(out, b"abc");
}

#[test]
fn a_writer_that_takes_bytes_away_is_found_out() {
    let (mut sealer, _) = pair();
    let mut out = b"abc".to_vec();
    assert_eq!(sealer.seal_frame_with(&mut out, Vec::clear), Err(SealError::BufferShrunk));
    assert_eq!(sealer.counter(), 0);
}

#[test]
fn an_empty_plaintext_is_sealed_but_never_opened() {
    let (mut sealer, mut opener) = pair();
    let mut body = Vec::new();
    sealer.seal_in_place(&mut body).unwrap();
    assert_eq!(opener.open_in_place(&mut body), Err(OpenError::EmptyPlaintext { counter: 0 }));
    assert_eq!(opener.open_in_place(&mut body), Err(OpenError::Poisoned { counter: 0 }));
}

#[test]
fn halves_and_states_may_move_between_threads() {
    fn movable<T: Send + Sync + 'static>() {}
    movable::<landbridge_noise::Transport>();
    movable::<landbridge_noise::AwaitServerHello>();
    movable::<landbridge_noise::AwaitResumption>();
    movable::<landbridge_noise::AwaitPayload>();
    movable::<landbridge_noise::Hello>();
    movable::<landbridge_noise::CertificateAuthority>();
    movable::<landbridge_noise::HandshakeError>();
}
