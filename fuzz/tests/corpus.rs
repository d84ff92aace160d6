//! Replays the corpora and the regressions, then tries changed seeds: the same ones for the same seed number, as far as
//! the time goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use landbridge_fuzz::{TARGETS, Target, find};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Changed seeds tried for each target, unless the time is up before.
const CASES: usize = 3000;
/// Time for the changed seeds of one target: enough for all of them in an optimised build.
const TIME: Duration = Duration::from_millis(900);

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind)
}

/// The files of one target in `corpus/` or `regressions/`, by name.
fn files(kind: &str, target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(kind).join(target.name)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// What broke, the first input of each target.
#[derive(Default)]
struct Broken(Vec<String>);

impl Broken {
    /// Runs a target; says whether the property held.
    fn check(&mut self, target: &Target, bytes: &[u8], what: impl FnOnce() -> String) -> bool {
        let held = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_ok();
        if !held {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            self.0.push(format!("{}: {} breaks the property; the input in hex: {hex}", target.name, what()));
        }
        held
    }

    fn report(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

#[test]
fn every_folder_belongs_to_a_target() {
    for kind in ["corpus", "regressions"] {
        let Ok(entries) = fs::read_dir(folder(kind)) else { continue };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(find(&name).is_some(), "{kind}/{name} belongs to no target");
        }
    }
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len(), "names are unique");
}

#[test]
fn seeds_hold() {
    let mut broken = Broken::default();
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            assert!(seed.len() <= target.max_len, "{}: seed {number} has {} bytes", target.name, seed.len());
            if !broken.check(target, seed, || format!("seed {number}")) {
                break;
            }
        }
    }
    broken.report();
}

#[test]
fn corpora_and_regressions_hold() {
    let mut broken = Broken::default();
    for target in TARGETS {
        for kind in ["corpus", "regressions"] {
            for (path, bytes) in files(kind, target) {
                broken.check(target, &bytes, || path.display().to_string());
            }
        }
    }
    broken.report();
}

/// Everything that a reader sees when the rest has not come, the shortest seeds first.
#[test]
fn beginnings_of_seeds_hold() {
    let mut broken = Broken::default();
    for target in TARGETS {
        let mut seeds = (target.seeds)();
        seeds.sort_by_key(Vec::len);
        let begin = Instant::now();
        'seeds: for seed in &seeds {
            for end in 0..seed.len() {
                if begin.elapsed() > TIME
                    || !broken.check(target, &seed[..end], || format!("{end} bytes of a seed"))
                {
                    break 'seeds;
                }
            }
        }
    }
    broken.report();
}

/// Every single changed bit of the seeds, the shortest first: refused, or as good as before.
#[test]
fn flips_of_seeds_hold() {
    let mut broken = Broken::default();
    for target in TARGETS {
        let mut seeds = (target.seeds)();
        seeds.sort_by_key(Vec::len);
        let (begin, mut flips) = (Instant::now(), 0);
        'seeds: for seed in &mut seeds {
            for bit in 0..8 * seed.len() {
                seed[bit / 8] ^= 1 << (bit % 8);
                let held =
                    begin.elapsed() <= TIME && broken.check(target, seed, || format!("bit {bit} of a seed"));
                seed[bit / 8] ^= 1 << (bit % 8);
                if !held {
                    break 'seeds;
                }
                flips += 1;
            }
        }
        println!("{}: {flips} flips", target.name);
    }
    broken.report();
}

/// `LANDBRIDGE_FUZZ_SEED` chooses another sequence than 1.
#[test]
fn changed_seeds_hold() {
    let number = std::env::var("LANDBRIDGE_FUZZ_SEED").ok().map_or(1, |text| text.parse().expect("a number"));
    println!("LANDBRIDGE_FUZZ_SEED={number}");
    let (mut total, mut broken) = (0, Broken::default());
    for target in TARGETS {
        let mut pool = (target.seeds)();
        pool.extend(files("corpus", target).into_iter().map(|(_, bytes)| bytes));
        let mut rng = ChaCha20Rng::seed_from_u64(number);
        let begin = Instant::now();
        let mut case = 0;
        while case < CASES && begin.elapsed() < TIME {
            let bytes = changed(&pool, target.max_len, &mut rng);
            if !broken.check(target, &bytes, || format!("case {case} of LANDBRIDGE_FUZZ_SEED={number}")) {
                break;
            }
            case += 1;
        }
        total += case;
        println!("{}: {case} cases", target.name);
    }
    println!("{total} cases in all");
    broken.report();
}

fn below(limit: usize, rng: &mut ChaCha20Rng) -> usize {
    (rng.next_u64() % limit.max(1) as u64) as usize
}

/// A seed with one to eight changes.
fn changed(pool: &[Vec<u8>], max_len: usize, rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut bytes = pool[below(pool.len(), rng)].clone();
    for _ in 0..=below(8, rng) {
        let at = below(bytes.len() + 1, rng);
        let value = [0x00, 0xff, 0x80, 0x7f, rng.next_u32() as u8, rng.next_u32() as u8][below(6, rng)];
        match below(8, rng) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << below(8, rng),
            2 if at < bytes.len() => bytes[at] = value,
            3 => bytes.insert(at, value),
            4 if at < bytes.len() => drop(bytes.drain(at..(at + 1 + below(8, rng)).min(bytes.len()))),
            5 => bytes.truncate(at),
            6 => {
                let end = (at + 1 + below(16, rng)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = below(bytes.len() + 1, rng);
                bytes.splice(to..to, part);
            }
            _ => {
                let other = &pool[below(pool.len(), rng)];
                let from = below(other.len() + 1, rng);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes.truncate(max_len);
    bytes
}
