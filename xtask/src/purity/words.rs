//! What sources may not name.

use super::source::{Source, is_word};

/// Clocks, random sources, I/O, threads and prints. A name ends at a word's end, and begins at a word's begin.
const FORBIDDEN: [&str; 20] = [
    "Instant",
    "OsRng",
    "SysRng",
    "SystemRandom",
    "SystemTime",
    "ThreadRng",
    "dbg!",
    "eprint!",
    "eprintln!",
    "getrandom",
    "print!",
    "println!",
    "rand::rng",
    "static mut",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "thread_rng",
];

/// Modules of `std` that may not be taken from a group either: `use std::{fs, net}`.
const MODULES: [&str; 6] = ["env", "fs", "net", "os", "process", "thread"];

/// Exceptions: file, name, why.
const TOLERATED: [[&str; 3]; 1] = [[
    "enlist/src/jwt/sign.rs",
    "SystemRandom",
    "ring draws the blinding of RSA signatures from nothing else",
]];

/// Every forbidden name in the file of a core.
pub(super) fn faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for name in FORBIDDEN {
        if TOLERATED.iter().any(|[file, what, _]| (*file, *what) == (&source.path[..], name)) {
            continue;
        }
        faults.extend(occurrences(&source.code, name).map(|at| format!("{} names {name}", source.place(at))));
    }
    for (at, _) in source.code.match_indices("std::{") {
        let group = source.code[at..].split(';').next().unwrap_or_default();
        for module in MODULES {
            for inside in occurrences(group, module) {
                // Only the first segment of a path: `fmt::thread` would be something else.
                if !group[..inside].ends_with(':') {
                    faults.push(format!("{} names std::{module}", source.place(at + inside)));
                }
            }
        }
    }
    faults
}

/// The places where `name` stands as whole words.
fn occurrences<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        !is_word(before) && !is_word(bytes.get(at + name.len()))
    })
}

/// Public error enums that others could match exhaustively, so that a variant more would break them.
pub(super) fn open_errors(source: &Source) -> Vec<String> {
    let code = &source.code;
    let mut faults = Vec::new();
    for (at, found) in code.match_indices("pub enum ") {
        let name: String =
            code[at + found.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let attributes = super::secrets::attributes_before(code, at);
        let is_error = name.ends_with("Error") || derives(attributes, "Error");
        if is_error && !attributes.contains("#[non_exhaustive]") {
            faults.push(format!("{}: {name} is not #[non_exhaustive]", source.place(at)));
        }
    }
    faults
}

/// Whether the attributes derive `name`.
pub(super) fn derives(attributes: &str, name: &str) -> bool {
    attributes.match_indices("derive(").any(|(at, found)| {
        let list = attributes[at + found.len()..].split(')').next().unwrap_or_default();
        list.split(',').any(|item| item.trim().rsplit("::").next() == Some(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(code: &str) -> Source {
        Source { path: "x/src/lib.rs".to_owned(), code: code.to_owned() }
    }

    #[test]
    fn names_are_found_as_whole_words() {
        let found = faults(&source(
            "use std::{fmt, net::{Ip}};\nfn f(now: SystemTimes) { my_std::fs(); }\nstd::fs::read()",
        ));
        assert_eq!(found, ["x/src/lib.rs:3 names std::fs", "x/src/lib.rs:1 names std::net"]);
        assert!(faults(&source("Duration::from_secs(1); operand::ring()")).is_empty());
    }

    #[test]
    fn errors_are_to_stay_open() {
        let open = "#[derive(Debug, thiserror::Error)]\npub enum Bad { A }\n#[non_exhaustive]\npub enum GoodError {}";
        assert_eq!(open_errors(&source(open)), ["x/src/lib.rs:2: Bad is not #[non_exhaustive]"]);
    }
}
