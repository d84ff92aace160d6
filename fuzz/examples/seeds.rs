//! Writes the seeds of the targets named, or of all, below a folder: `seeds FOLDER [TARGET…]`. The fuzzer begins with
//! them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a chore that cannot go on stops")]

use std::{fs, path::Path};

use landbridge_fuzz::TARGETS;

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().expect("usage: seeds FOLDER [TARGET…]");
    let names: Vec<String> = args.collect();
    for target in TARGETS.iter().filter(|target| names.is_empty() || names.iter().any(|name| name == target.name)) {
        let folder = Path::new(&folder).join(target.name);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), seed).expect("the file can be written");
        }
        println!("{} {} {}", target.name, target.max_len, target.about);
    }
}
