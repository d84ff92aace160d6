//! Measures. Each figure is printed with what it was measured on; a missed goal is said, and fails nothing.

use std::{fs, time::Instant};

use clap::{Args, ValueEnum};

use crate::run::{Outcome, Program, cargo, root};

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// What to measure; everything if nothing is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// All comparisons with peers in one run, ending in one table of goals and figures.
    #[arg(long, conflicts_with = "parts")]
    peers: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The codec beside wacore-binary and memcpy.
    Codec,
    /// Noise transport and handshakes beside the raw cipher and curve, wacore-noise and snow.
    Noise,
    /// Signal encryption and decryption beside wacore-libsignal and the curve.
    Signal,
    /// Media encryption and decryption with every check beside the cipher and the hash alone, on one core.
    Media,
    /// ring and curve25519-dalek beside aws-lc-rs.
    Crypto,
    /// The client as a small shared library beside whatsapp-rust: size and cold build.
    Facade,
    /// Whole round trips between client, sandbox and phone over TCP.
    EndToEnd,
    /// Bytes of sessions and messages in a client's store, and how fast a full mailbox drains.
    Stores,
    /// Thousands of clients that connect, lose their server and come back; a hundred pairs at once.
    Crowd,
    /// Pushes, tokens and media of the partner server beside nginx (has to be installed).
    Partner,
    /// Cold build time of crate `landbridge`, crates in its tree, size of the program.
    Build,
}

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    if args.peers {
        return peers(&["codec", "noise", "signal", "facade"]);
    }
    for part in if args.parts.is_empty() { Part::value_variants() } else { &args.parts } {
        match part {
            Part::Codec => peers(&["codec"])?,
            Part::Noise => peers(&["noise"])?,
            Part::Signal => peers(&["signal"])?,
            Part::Media => example("landbridge-media", "media_speed")?,
            Part::Crypto => peers(&["crypto"])?,
            Part::Facade => peers(&["facade"])?,
            Part::EndToEnd => example("landbridge-cli", "round_trips")?,
            Part::Stores => example("landbridge-cli", "stores")?,
            Part::Crowd => example("landbridge-cli", "crowd")?,
            Part::Partner => {
                cargo(&["build", "--release", "--package", "landbridge-cli"]).run()?;
                example("landbridge-cli", "partner_load")?;
            }
            Part::Build => build()?,
        }
    }
    Ok(())
}

/// The comparisons live in a workspace of their own, so that the peers stay out of ours.
fn peers(parts: &[&str]) -> Outcome {
    Program::new("cargo").args(["run", "--release", "--"]).args(parts).dir(root().join("bench/peers")).run()
}

fn example(package: &str, name: &str) -> Outcome {
    cargo(&["run", "--release", "--package", package, "--example", name]).run()
}

fn build() -> Outcome {
    let tree =
        cargo(&["tree", "--package", "landbridge", "--edges", "normal", "--prefix", "none"]).output()?;
    let mut crates: Vec<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    crates.sort_unstable();
    crates.dedup();

    let target = root().join("target/cold");
    if target.exists() {
        fs::remove_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    }
    let start = Instant::now();
    cargo(&["build", "--release", "--package", "landbridge"]).env("CARGO_TARGET_DIR", &target).run()?;
    let cold = start.elapsed();
    fs::remove_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;

    cargo(&["build", "--release", "--package", "landbridge-cli"]).run()?;
    let program = root().join("target/release").join(format!("landbridge{}", std::env::consts::EXE_SUFFIX));
    let size = fs::metadata(&program).map_err(|error| format!("{}: {error}", program.display()))?.len();

    println!("cold release build of crate landbridge: {:.1} s", cold.as_secs_f64());
    println!("crates in its tree (normal dependencies, itself included): {}", crates.len());
    println!("stripped release program landbridge: {:.2} MB", size as f64 / 1e6);
    Ok(())
}
