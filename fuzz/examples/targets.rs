//! Prints the targets, a line each: name, longest input, description, parted by tabs. With a folder as argument it also
//! writes their seeds below that, for a fuzzer to begin with.
#![allow(clippy::expect_used, reason = "a chore that cannot go on stops")]

use std::{fs, path::Path};

use landbridge_fuzz::TARGETS;

fn main() {
    let folder = std::env::args().nth(1);
    for target in TARGETS {
        println!("{}\t{}\t{}", target.name, target.max_len, target.about);
        let Some(folder) = &folder else { continue };
        let folder = Path::new(folder).join(target.name);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), seed).expect("the file can be written");
        }
    }
}
