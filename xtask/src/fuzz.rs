//! Coverage-guided fuzzing on the stable toolchain: libFuzzer over the targets of `fuzz/`.

mod table;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Args;

use crate::run::{Outcome, Program, cargo, root};

#[derive(Args)]
pub(crate) struct FuzzArgs {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// A target to run, more than once for several; all if none is named.
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// Print the targets and what each is about.
    #[arg(long)]
    list: bool,
    /// Add what was done to the table `fuzz/executions.tsv`.
    #[arg(long)]
    record: bool,
    /// Afterwards keep the fewest inputs that reach as much in `fuzz/corpus`, instead of what is there.
    #[arg(long)]
    minimise: bool,
}

/// Targets beside code of others, which only the libFuzzer package has.
const PEER_TARGETS: [[&str; 3]; 1] =
    [["peer_wire", "4096", "stanzas: what wacore-binary reads as well means the same"]];

/// What cargo-fuzz passes on nightly toolchains, less the sanitizer: counters that libFuzzer finds by itself.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// One input may take this long, in seconds, and all of it this much memory, in MiB.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];
/// Most inputs kept in the repository for each target, and their size in all, in bytes.
const KEPT: (usize, u64) = (64, 64 * 1024);

struct Target {
    name: String,
    max_len: String,
    about: String,
}

#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) executions: u64,
    pub(crate) per_second: u64,
    pub(crate) corpus: usize,
    pub(crate) crashes: usize,
}

pub(crate) fn run(args: &FuzzArgs) -> Outcome {
    let seeds = root().join("target/fuzz/seeds");
    let targets = chosen(&args.targets, &seeds)?;
    if args.list {
        for Target { name, about, .. } in &targets {
            println!("{name:<20} {about}");
        }
        return Ok(());
    }
    let fuzzer = build()?;
    println!("{:<20} {:>12} {:>9} {:>8} {:>8}", "target", "executions", "exec/s", "corpus", "crashes");
    let (mut all, mut crashes) = (0, 0);
    for target in &targets {
        let figures = run_target(&fuzzer, target, args.seconds)?;
        let Figures { executions, per_second, corpus, crashes: found } = figures;
        println!("{:<20} {executions:>12} {per_second:>9} {corpus:>8} {found:>8}", target.name);
        all += executions;
        crashes += found;
        if args.record {
            table::record(&root().join("fuzz/executions.tsv"), &target.name, args.seconds, &figures)?;
        }
        if args.minimise && found == 0 {
            minimise(&fuzzer, target)?;
        }
    }
    println!("{:<20} {all:>12} {:>9} {:>8} {crashes:>8}", "in all", "", "");
    match crashes {
        0 => Ok(()),
        _ => Err(format!("{crashes} inputs break a property; they are in fuzz/artifacts, with the logs")),
    }
}

/// The targets named, or all; their seeds are written on the way.
fn chosen(names: &[String], seeds: &Path) -> Result<Vec<Target>, String> {
    let seeds = seeds.to_string_lossy();
    let example = ["run", "--quiet", "--package", "landbridge-fuzz", "--example", "targets", "--", &seeds];
    let lines = cargo(&example).output()?;
    let ours = lines.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    let peers = PEER_TARGETS.iter().map(|parts| parts.map(str::to_owned).to_vec());
    let mut targets = Vec::new();
    for parts in ours.chain(peers) {
        let Ok([name, max_len, about]) = <[String; 3]>::try_from(parts) else {
            return Err("the list of targets cannot be read".to_owned());
        };
        targets.push(Target { name, max_len, about });
    }
    if let Some(unknown) = names.iter().find(|name| !targets.iter().any(|target| target.name == **name)) {
        return Err(format!("there is no target {unknown}; --list names them"));
    }
    targets.retain(|target| names.is_empty() || names.contains(&target.name));
    Ok(targets)
}

/// Builds the program of all targets, with its own flags in its own folder.
fn build() -> Result<PathBuf, String> {
    let versions = Program::new("rustc").args(["--version", "--verbose"]).output()?;
    let host = versions.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    let dir = root().join("fuzz/libfuzzer");
    // A target that is named keeps the flags away from build scripts and macros.
    cargo(&["build", "--release", "--target", &host])
        .dir(&dir)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", "target")
        .run()?;
    Ok(dir.join("target").join(host).join("release/landbridge-libfuzzer"))
}

fn folder(kind: &str, name: &str) -> Result<PathBuf, String> {
    let folder = root().join(kind).join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// Where inputs of a target are: first the one that grows.
fn inputs(target: &Target) -> Result<[PathBuf; 4], String> {
    let name = &target.name;
    Ok([
        folder("target/fuzz/corpus", name)?,
        folder("target/fuzz/seeds", name)?,
        folder_or_nothing("fuzz/corpus", name)?,
        folder_or_nothing("fuzz/regressions", name)?,
    ])
}

/// A folder of the repository, or an empty one in its place.
fn folder_or_nothing(kind: &str, name: &str) -> Result<PathBuf, String> {
    let there = root().join(kind).join(name);
    if there.is_dir() { Ok(there) } else { folder("target/fuzz/nothing", name) }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

/// Runs libFuzzer with its output in a file next to what it finds; gives that output.
fn libfuzzer<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
    fuzzer: &Path,
    target: &Target,
    args: I,
    log: &Path,
) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", log.display());
    let out = fs::File::create(log).map_err(failed)?;
    Command::new(fuzzer)
        .env("LANDBRIDGE_FUZZ_TARGET", &target.name)
        .arg(format!("-max_len={}", target.max_len))
        .args(LIMITS)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(out)
        .status()
        .map_err(|error| format!("{}: {error}", fuzzer.display()))?;
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(failed)
}

fn run_target(fuzzer: &Path, target: &Target, seconds: u32) -> Result<Figures, String> {
    let artifacts = folder("fuzz/artifacts", &target.name)?;
    let before = crashes(&artifacts);
    let options = [
        format!("-max_total_time={seconds}"),
        "-print_final_stats=1".to_owned(),
        format!("-artifact_prefix={}/", artifacts.display()),
    ];
    let inputs = inputs(target)?;
    let all = options.iter().map(OsStr::new).chain(inputs.iter().map(|folder| folder.as_os_str()));
    let log = libfuzzer(fuzzer, target, all, &artifacts.join("last.log"))?;
    let figure = |name: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
        line.and_then(|line| line.trim_start_matches(':').trim().parse().ok())
    };
    let executions = figure("number_of_executed_units");
    let found = crashes(&artifacts).saturating_sub(before);
    if executions.is_none() && found == 0 {
        return Err(format!("{}: libFuzzer gave up; see fuzz/artifacts/{0}/last.log", target.name));
    }
    Ok(Figures {
        executions: executions.unwrap_or_default(),
        per_second: figure("average_exec_per_sec").unwrap_or_default(),
        corpus: files(&inputs[0]).len(),
        crashes: found,
    })
}

/// Inputs that broke something, ran too long or took too much.
fn crashes(artifacts: &Path) -> usize {
    files(artifacts).iter().filter(|path| path.extension().is_none()).count()
}

/// Fills the target's folder in `fuzz/corpus` anew.
fn minimise(fuzzer: &Path, target: &Target) -> Outcome {
    if PEER_TARGETS.iter().any(|[name, ..]| *name == target.name) {
        return Ok(());
    }
    let merged = folder("target/fuzz/merged", &target.name)?;
    let failed = |error: std::io::Error| format!("corpus of {}: {error}", target.name);
    for path in files(&merged) {
        fs::remove_file(path).map_err(failed)?;
    }
    let inputs = inputs(target)?;
    let folders = std::iter::once(&merged).chain(&inputs).map(|folder| folder.as_os_str());
    let options = ["-merge=1", "-set_cover_merge=1"].map(OsStr::new);
    let log = folder("target/fuzz", "logs")?.join(format!("{}.merge.log", target.name));
    libfuzzer(fuzzer, target, options.into_iter().chain(folders), &log)?;

    let mut kept: Vec<(u64, PathBuf)> = files(&merged)
        .into_iter()
        .map(|path| fs::metadata(&path).map(|data| (data.len(), path)).map_err(failed))
        .collect::<Result<_, _>>()?;
    kept.sort();
    let corpus = folder("fuzz/corpus", &target.name)?;
    for path in files(&corpus) {
        fs::remove_file(path).map_err(failed)?;
    }
    let mut size = 0;
    // One of each group of neighbours in size, so that short and long ones are kept.
    for (length, path) in kept.chunks(kept.len().div_ceil(KEPT.0).max(1)).filter_map(|group| group.first()) {
        size += length;
        if size > KEPT.1 {
            break;
        }
        let Some(name) = path.file_name() else { continue };
        fs::copy(path, corpus.join(name)).map_err(failed)?;
    }
    Ok(())
}
