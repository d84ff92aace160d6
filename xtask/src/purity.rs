//! What the pure crates promise, checked: which crates they depend on, what their sources name, how they keep secrets,
//! what is published with them, and that they build where there is no operating system.

mod publish;
mod secrets;
mod source;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use crate::run::{Outcome, Program, cargo, root};

/// The crates without I/O, clock, task or random source, without their prefix.
const CORES: [&str; 8] = ["curve", "wire", "proto", "noise", "signal", "stanza", "enlist", "media"];

/// The crates that are for others to build on, beside the cores.
const SHELLS: [&str; 2] = ["transport", "store"];

/// Crates that do I/O, read clocks, run tasks or draw random numbers: not below a core.
const IMPURE: [&str; 26] = [
    "async-io",
    "async-std",
    "chrono",
    "dirs",
    "fs2",
    "futures-timer",
    "getrandom",
    "h2",
    "hyper",
    "jiff",
    "libsqlite3-sys",
    "mio",
    "notify",
    "polling",
    "quinn",
    "rand",
    "reqwest",
    "rusqlite",
    "rustls",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tracing-subscriber",
    "web-time",
];

/// Exceptions of [`IMPURE`]: core, crate below it, why.
const TOLERATED: [[&str; 3]; 2] = [
    ["noise", "getrandom", "below ring, for random sources that noise does not use"],
    ["enlist", "getrandom", "below ring, for the blinding of RSA signatures"],
];

/// Second crypto backends and TLS stacks: nowhere in the workspace.
const BACKENDS: [&str; 8] = [
    "aws-lc-fips-sys",
    "aws-lc-rs",
    "aws-lc-sys",
    "boring",
    "mbedtls",
    "native-tls",
    "openssl",
    "openssl-sys",
];

/// The target without an operating system.
const BARE: &str = "wasm32-unknown-unknown";

/// The cores that need a C compiler for [`BARE`], because of ring. On it ring also wants to be told by the program
/// where random numbers come from, which is its own feature.
const NEED_CLANG: [&str; 2] = ["noise", "enlist"];

/// All checks. Each fault is told; the outcome is how many there are.
pub(crate) fn run() -> Outcome {
    let mut faults = Vec::new();
    for core in CORES {
        faults.extend(impure_dependencies(core)?);
    }
    faults.extend(backends()?);
    faults.extend(directions()?);
    faults.extend(sources()?);
    for name in CORES.into_iter().chain(SHELLS) {
        faults.extend(publish::faults(name)?);
    }
    faults.extend(bare_target().err());
    for fault in &faults {
        eprintln!("xtask: purity: {fault}");
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("broken rules of the pure crates: {}", faults.len())) }
}

/// What needs no other program: the rules that are read off the sources.
fn sources() -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    for name in CORES {
        files.extend(source::of_crate(name)?);
    }
    let mut faults: Vec<_> = files.iter().flat_map(words::faults).collect();
    faults.extend(secrets::faults(&files));
    for name in SHELLS {
        files.extend(source::of_crate(name)?);
    }
    faults.extend(files.iter().flat_map(words::open_errors));
    Ok(faults)
}

fn package(name: &str) -> String {
    if name == "landbridge" { name.to_owned() } else { format!("landbridge-{name}") }
}

/// The crates below `name`, by the edges named, every feature and every platform included.
fn tree(selection: &[&str], edges: &str) -> Result<BTreeSet<String>, String> {
    let rest = ["--all-features", "--target", "all", "--edges", edges, "--prefix", "none", "--format", "{p}"];
    let listing = cargo(&["tree", "--quiet"]).args(selection).args(rest).output()?;
    let crates = listing.lines().filter_map(|line| line.split_whitespace().next());
    Ok(crates.map(str::to_owned).collect())
}

fn impure_dependencies(core: &str) -> Result<Vec<String>, String> {
    let below = tree(&["--package", &package(core)], "normal")?;
    let tolerated = |name: &str| TOLERATED.iter().any(|[of, what, _]| (*of, *what) == (core, name));
    let mut faults: Vec<_> = IMPURE
        .into_iter()
        .filter(|name| below.contains(*name) && !tolerated(name))
        .map(|name| format!("{core} depends on {name}"))
        .collect();
    let stale = TOLERATED.iter().filter(|[of, what, _]| *of == core && !below.contains(*what));
    faults.extend(stale.map(|[of, what, why]| format!("{of} no longer depends on {what} ({why})")));
    Ok(faults)
}

fn backends() -> Result<Vec<String>, String> {
    let all = tree(&["--workspace"], "normal,build,dev")?;
    Ok(BACKENDS
        .into_iter()
        .filter(|name| all.contains(*name))
        .map(|name| format!("{name} is used"))
        .collect())
}

/// Holds the crates against the sentence of docs/architecture.md that says who may depend on whom.
fn directions() -> Result<Vec<String>, String> {
    let page = root().join("docs/architecture.md");
    let text = std::fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let allowed = allowed_directions(&text)?;
    let mut faults = Vec::new();
    for entry in source::entries(&root().join("crates"))? {
        let folder = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = if folder == "client" { "landbridge".to_owned() } else { folder };
        let Some(allowed) = allowed.get(&name) else {
            faults.push(format!("docs/architecture.md does not say what {name} may depend on"));
            continue;
        };
        let listing = cargo(&["tree", "--quiet", "--package", &package(&name)])
            .args(["--depth", "1", "--edges", "normal,build", "--all-features", "--target", "all"])
            .args(["--prefix", "depth", "--format", "{p}"])
            .output()?;
        let direct = listing.lines().filter_map(|line| line.strip_prefix('1')?.split_whitespace().next());
        let ours = direct.filter_map(short);
        for used in ours.filter(|used| !allowed.contains(*used)) {
            faults.push(format!("{name} depends on {used}, which docs/architecture.md does not allow"));
        }
    }
    Ok(faults)
}

/// The name without prefix, of our own crates only.
fn short(package: &str) -> Option<&str> {
    if package == "landbridge" { Some(package) } else { package.strip_prefix("landbridge-") }
}

/// Reads "Dependencies point down only: `a`, `b` → nothing of ours; `c` → `a`; …".
fn allowed_directions(page: &str) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    const BEGIN: &str = "Dependencies point down only:";
    let lost = || format!("docs/architecture.md has no paragraph \"{BEGIN}\"");
    let (_, text) = page.split_once(BEGIN).ok_or_else(lost)?;
    let text = text.split("\n\n").next().unwrap_or_default();
    let mut allowed = BTreeMap::new();
    let mut shells = Vec::new();
    for clause in text.split([';', '\n']).filter(|clause| clause.contains('→')) {
        let Some((left, right)) = clause.split_once('→') else { continue };
        let known: BTreeSet<String> = allowed.keys().cloned().collect();
        for name in quoted(left) {
            let name = short(name).unwrap_or(name).to_owned();
            if right.contains("everything") {
                shells.push(name.clone());
            }
            let below: BTreeSet<String> = if right.contains("all of these") {
                known.clone()
            } else {
                quoted(right).map(|name| short(name).unwrap_or(name).to_owned()).collect()
            };
            allowed.insert(name, below);
        }
    }
    let all: BTreeSet<String> = allowed.keys().cloned().collect();
    for name in shells {
        allowed.insert(name, all.clone());
    }
    Ok(allowed)
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Builds the cores for a target where I/O, clocks and threads do not exist; says what it leaves out.
fn bare_target() -> Outcome {
    let installed = Program::new("rustc").args(["--print", "sysroot"]).output()?;
    let sysroot = std::path::Path::new(installed.trim());
    if !sysroot.join("lib/rustlib").join(BARE).is_dir() {
        eprintln!("xtask: purity: build for {BARE} SKIPPED: rustup target add {BARE}");
        return Ok(());
    }
    let has_clang = Program::new("clang").args(["--version"]).succeeds();
    let (with_ring, without): (Vec<_>, Vec<_>) = CORES.iter().partition(|core| NEED_CLANG.contains(*core));
    build_bare(&without, &[])?;
    if has_clang {
        build_bare(&with_ring, &["--features", "ring/wasm32_unknown_unknown_js"])
    } else {
        eprintln!("xtask: purity: {} for {BARE} SKIPPED: ring needs clang", NEED_CLANG.join(", "));
        Ok(())
    }
}

fn build_bare(cores: &[&str], features: &[&str]) -> Outcome {
    let packages = cores.iter().flat_map(|core| ["--package".to_owned(), package(core)]);
    cargo(&["build", "--quiet", "--target", BARE]).args(packages).args(features).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_keep_the_rules() {
        assert_eq!(sources().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_crates_depend_as_the_page_says() {
        assert_eq!(directions().unwrap(), Vec::<String>::new());
        for core in CORES {
            assert_eq!(impure_dependencies(core).unwrap(), Vec::<String>::new());
        }
    }

    #[test]
    fn directions_are_read_from_the_page() {
        let page = "Dependencies point down only: `a`, `b` → nothing of ours; `c` → `a`;\n\
                    `landbridge` and `landbridge-d` → all of these, never each other; `e` → everything.\n\nMore `x` → y";
        let allowed = allowed_directions(page).unwrap();
        let of = |name: &str| allowed[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("a"), [""; 0]);
        assert_eq!(of("c"), ["a"]);
        assert_eq!(of("landbridge"), ["a", "b", "c"]);
        assert_eq!(of("e"), ["a", "b", "c", "d", "e", "landbridge"]);
        assert_eq!(allowed.len(), 6);
    }
}
