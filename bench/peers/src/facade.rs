//! The whole client as a shared library for an app, built from nothing: how large it is, and what the build costs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::{
    Options,
    measure::{Fact, Report},
};

const CONTENDERS: [(&str, &str, &str); 2] =
    [("ours", "landbridge", "liblandbridge_size.so"), ("peer", "whatsapp-rust", "libpeer_size.so")];

pub fn run(options: &Options) -> Result<Report, String> {
    let mut facts = Vec::new();
    for (folder, contender, library) in CONTENDERS {
        if options.wants(contender) {
            facts.extend(build(folder, contender, library)?);
        }
    }
    Ok(Report { facts, ..Report::default() })
}

fn build(folder: &str, contender: &'static str, library: &str) -> Result<[Fact; 4], String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../size").join(folder);
    let target = std::env::temp_dir().join(format!("landbridge-size-{folder}-{}", std::process::id()));
    let cargo = || {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&source).env("CARGO_TARGET_DIR", &target);
        cargo
    };
    let crates = cargo().args(["tree", "--edges", "normal", "--prefix", "none"]).output();
    let crates = crates.map_err(|error| format!("cargo tree: {error}"))?;
    let crates = String::from_utf8_lossy(&crates.stdout);
    let mut crates: Vec<&str> = crates.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    crates.sort_unstable();
    crates.dedup();

    let (start, before) = (Instant::now(), children_seconds()?);
    let status = cargo().args(["build", "--release", "--timings"]).status();
    let (wall, processor) = (start.elapsed().as_secs_f64(), children_seconds()? - before);
    if !status.map_err(|error| format!("cargo build: {error}"))?.success() {
        return Err(format!("{contender} does not build"));
    }
    let size = size(&target.join("release").join(library))?;
    fs::remove_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    let fact = |case, value, unit| Fact { part: "facade", case, contender, value, unit };
    Ok([
        fact("stripped library", size, "bytes"),
        fact("cold build, elapsed", wall, "s"),
        fact("cold build, processor time", processor, "s"),
        fact("crates in the tree", crates.len() as f64, ""),
    ])
}

fn size(library: &PathBuf) -> Result<f64, String> {
    let metadata = fs::metadata(library).map_err(|error| format!("{}: {error}", library.display()))?;
    Ok(metadata.len() as f64)
}

/// Processor time of all ended child processes, in seconds.
fn children_seconds() -> Result<f64, String> {
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").map_err(|error| format!("/proc/self/stat: {error}"))?;
    // User and system time of the children are the 14th and 15th field behind the name in parentheses.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().skip(13).take(2));
    fields
        .and_then(|fields| fields.map(|field| field.parse::<f64>().ok()).sum::<Option<f64>>())
        .map(|ticks| ticks / TICKS)
        .ok_or_else(|| "/proc/self/stat has another form".to_owned())
}
