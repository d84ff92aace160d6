//! The stanza codec beside `wacore-binary`.

mod ours;
mod peer;
mod spec;

use std::hint::black_box;

use self::spec::Input;
use crate::{
    Options,
    measure::{Contender, Figure, Report, measure},
};

pub fn run(options: &Options) -> Result<Report, String> {
    let mut figures = Vec::new();
    for input in spec::load().map_err(|reason| format!("the inputs cannot be read: {reason}"))? {
        verify(&input).map_err(|reason| format!("{}: {reason}", input.name))?;
        figures.extend(compare(&input, options));
    }
    Ok(Report { figures, ..Report::default() })
}

/// Both codecs read the payload and write it again.
fn verify(input: &Input) -> Result<(), String> {
    let built = ours::build(&input.node);
    let decoded = ours::decode(&input.payload);
    if ours::encode(&built) != input.payload {
        return Err("our encoding differs".to_owned());
    }
    for built in [built.clone(), ours::build_apart(&input.node)] {
        if ours::into_payload(built) != input.payload {
            return Err("one of our encodings differs".to_owned());
        }
    }
    if built != decoded.view() {
        return Err("our decoding differs".to_owned());
    }
    let built = peer::build(&input.node);
    for encode in peer::ENCODERS {
        if encode(&built) != input.payload {
            return Err("one of the peer's encodings differs".to_owned());
        }
    }
    if ours::read(&input.payload) != peer::read(&input.payload) {
        return Err("reading gives different parts".to_owned());
    }
    Ok(())
}

fn compare(input: &Input, options: &Options) -> Vec<Figure> {
    let payload = &input.payload;
    let (our_node, peer_node) = (ours::build(&input.node), peer::build(&input.node));
    let contenders = peer::ENCODERS
        .iter()
        .map(|encode| Contender::new("", || drop(black_box(encode(black_box(&peer_node))))))
        .collect();
    let times = measure("", "", 5, contenders);
    let fastest =
        times.iter().zip(peer::ENCODERS).min_by(|(a, _), (b, _)| a.nanoseconds.total_cmp(&b.nanoseconds));
    let peer_encode = fastest.map_or(peer::ENCODERS[0], |(_, encode)| encode);

    let mut figures = Vec::new();
    let mut add = |operation: &str, contenders| {
        let case = format!("{} {operation}", input.name);
        if options.wants(&case) {
            figures.extend(measure("codec", case, options.rounds, contenders));
        }
    };
    let decode = vec![
        Contender::new("landbridge-wire", || drop(black_box(ours::decode(black_box(payload))))),
        Contender::new("wacore-binary", || drop(black_box(peer::decode(black_box(payload))))),
    ];
    add("decode", decode);
    let read = vec![
        Contender::new("landbridge-wire", || _ = black_box(ours::read(black_box(payload)))),
        Contender::new("wacore-binary", || _ = black_box(peer::read(black_box(payload)))),
    ];
    add("decode+read", read);
    let encode = vec![
        Contender::new("landbridge-wire", || drop(black_box(ours::encode(black_box(&our_node))))),
        Contender::new("wacore-binary", || drop(black_box(peer_encode(black_box(&peer_node))))),
        Contender::new("memcpy", || drop(black_box(black_box(payload.as_slice()).to_vec()))),
    ];
    add("encode", encode);
    let build = vec![
        Contender::new("landbridge-wire", || {
            drop(black_box(ours::into_payload(ours::build(black_box(&input.node)))))
        }),
        Contender::new("wacore-binary", || {
            drop(black_box(peer_encode(&peer::build(black_box(&input.node)))))
        }),
        Contender::new("ours, child by child", || {
            drop(black_box(ours::encode(&ours::build_apart(black_box(&input.node)))))
        }),
    ];
    add("build+encode", build);
    figures
}
