//! Compares the stanza codec with a peer's; see README.md.

mod counting;
mod measure;
mod ours;
mod peer;
mod spec;

use std::hint::black_box;
use std::process::ExitCode;

use measure::{Figure, measure};
use spec::Input;

const USAGE: &str = "usage: landbridge-bench-peers [--json] [--rounds N] [--input NAME] [--operation NAME]";

struct Options {
    json: bool,
    rounds: usize,
    input: Option<String>,
    operation: Option<String>,
}

fn options() -> Option<Options> {
    let mut options = Options { json: false, rounds: 41, input: None, operation: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => options.json = true,
            "--rounds" => options.rounds = args.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            "--input" => options.input = Some(args.next()?),
            "--operation" => options.operation = Some(args.next()?),
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let inputs = match spec::load() {
        Ok(inputs) => inputs,
        Err(reason) => {
            eprintln!("the inputs cannot be read: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let mut figures = Vec::new();
    for input in inputs.iter().filter(|input| options.input.as_ref().is_none_or(|name| *name == input.name)) {
        if let Err(reason) = verify(input) {
            eprintln!("{}: {reason}", input.name);
            return ExitCode::FAILURE;
        }
        figures.extend(compare(input, &options));
    }
    if options.json {
        let rows: Vec<_> = figures.iter().map(Figure::json).collect();
        println!("{}", serde_json::json!({ "schema": "landbridge-bench-peers/1", "figures": rows }));
    } else {
        print_table(&figures);
    }
    ExitCode::SUCCESS
}

/// Both codecs read the payload and write it again.
fn verify(input: &Input) -> Result<(), String> {
    let built = ours::build(&input.node);
    let decoded = ours::decode(&input.payload);
    if ours::encode(&built) != input.payload {
        return Err("our encoding differs".to_owned());
    }
    if built != decoded.view() {
        return Err("our decoding differs".to_owned());
    }
    let built = peer::build(&input.node);
    for (name, encode) in peer::ENCODERS {
        if encode(&built) != input.payload {
            return Err(format!("the peer's {name} differs"));
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
    let candidates = peer::ENCODERS.map(|(name, encode)| {
        let figure = measure("", "", 5, || drop(black_box(encode(black_box(&peer_node)))), || {});
        (figure.ours.nanoseconds, name, encode)
    });
    let [mut best, rest @ ..] = candidates;
    for candidate in rest {
        if candidate.0 < best.0 {
            best = candidate;
        }
    }
    let (_, _, peer_encode) = best;
    let mut figures = Vec::new();
    let mut add = |operation: &'static str, ours: &mut dyn FnMut(), peer: &mut dyn FnMut()| {
        if options.operation.as_ref().is_none_or(|name| name == operation) {
            figures.push(measure(&input.name, operation, options.rounds, ours, peer));
        }
    };
    add("decode", &mut || drop(black_box(ours::decode(black_box(payload)))), &mut || {
        drop(black_box(peer::decode(black_box(payload))))
    });
    add(
        "decode+read",
        &mut || {
            black_box(ours::read(black_box(payload)));
        },
        &mut || {
            black_box(peer::read(black_box(payload)));
        },
    );
    add("encode", &mut || drop(black_box(ours::encode(black_box(&our_node)))), &mut || {
        drop(black_box(peer_encode(black_box(&peer_node))))
    });
    add(
        "build+encode",
        &mut || drop(black_box(ours::encode(&ours::build(black_box(&input.node))))),
        &mut || drop(black_box(peer_encode(&peer::build(black_box(&input.node))))),
    );
    add("encode/memcpy", &mut || drop(black_box(ours::encode(black_box(&our_node)))), &mut || {
        drop(black_box(black_box(payload.as_slice()).to_vec()))
    });
    figures
}

fn print_table(figures: &[Figure]) {
    println!(
        "{:16} {:14} {:>10} {:>10} {:>7} {:>7} {:>7}",
        "input", "operation", "ours ns", "peer ns", "ratio", "allocs", "peer"
    );
    for figure in figures {
        println!(
            "{:16} {:14} {:>10.1} {:>10.1} {:>6.2}x {:>7.1} {:>7.1}",
            figure.input,
            figure.operation,
            figure.ours.nanoseconds,
            figure.peer.nanoseconds,
            figure.ratio,
            figure.ours.allocations,
            figure.peer.allocations,
        );
    }
}
