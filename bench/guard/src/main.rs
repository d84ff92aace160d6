//! A guard against regressions: instructions of a few operations, counted by callgrind, beside committed limits.
//!
//! Unlike time, the count is nearly the same on every run and every machine. It is no measure of speed: valgrind has
//! neither the SHA nor the AVX-512 instructions of new processors, so that the software paths are counted.

mod operations;

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, ExitCode},
};

use operations::OPERATIONS;

const USAGE: &str = "usage: landbridge-bench-guard [--accept]";
const LIMITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/limits.txt");
/// How far above its limit an operation may be.
const TOLERANCE: f64 = 1.05;
/// Calls in one count.
const CALLS: u32 = 100;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        [] => guard(),
        ["--accept"] => accept(),
        ["--operation", name] => run(name),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Counts every operation and compares.
fn guard() -> Result<(), String> {
    let limits = limits()?;
    let mut failures = Vec::new();
    println!("{:24} {:>12} {:>12} {:>8}", "operation", "instructions", "limit", "change");
    for (name, _) in OPERATIONS {
        let counted = count(name)?;
        let limit = *limits.get(name).ok_or_else(|| format!("{name} has no limit in {LIMITS}"))?;
        let ratio = counted as f64 / limit as f64;
        println!("{name:24} {counted:>12} {limit:>12} {:>+7.1}%", (ratio - 1.0) * 100.0);
        if ratio > TOLERANCE {
            failures.push(name);
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("more than 5 % above the limit: {}", failures.join(", ")))
    }
}

/// Makes what is counted now the limits.
fn accept() -> Result<(), String> {
    let old = fs::read_to_string(LIMITS).map_err(|error| format!("{LIMITS}: {error}"))?;
    let mut text: String =
        old.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    for (name, _) in OPERATIONS {
        text.push_str(&format!("{name} {}\n", count(name)?));
    }
    fs::write(LIMITS, text).map_err(|error| format!("{LIMITS}: {error}"))
}

fn limits() -> Result<BTreeMap<String, u64>, String> {
    let text = fs::read_to_string(LIMITS).map_err(|error| format!("{LIMITS}: {error}"))?;
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, count) =
                line.split_once(' ').ok_or_else(|| format!("{LIMITS}: no count in `{line}`"))?;
            let count = count.parse().map_err(|_| format!("{LIMITS}: no number in `{line}`"))?;
            Ok((name.to_owned(), count))
        })
        .collect()
}

/// Instructions of one call, counted in a process of its own.
fn count(name: &str) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=landbridge_bench_guard::measured")
        .arg(program)
        .args(["--operation", name])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    let collected =
        report.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    match collected {
        Some(count) if output.status.success() && count > 0 => Ok(count / u64::from(CALLS)),
        _ => Err(format!("{name} could not be counted:\n{report}")),
    }
}

/// What runs under valgrind.
fn run(name: &str) -> Result<(), String> {
    let (_, prepare) = OPERATIONS.into_iter().find(|(known, _)| *known == name).ok_or("no such operation")?;
    let mut work = prepare()?;
    // Tables that are made on first use are no part of an operation.
    work();
    measured(&mut *work);
    Ok(())
}

#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    for _ in 0..CALLS {
        work();
    }
}
