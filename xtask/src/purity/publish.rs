//! What goes out with a crate.

use crate::run::{cargo, root};

/// Files without which a crate is not published.
const FILES: [&str; 4] = ["Cargo.toml", "README.md", "CHANGELOG.md", "src/lib.rs"];

/// Keys of `[package]` that its page on a registry is made of.
const KEYS: [&str; 8] =
    ["description", "readme", "keywords", "categories", "license", "rust-version", "edition", "authors"];

/// What is missing.
pub(super) fn faults(name: &str) -> Result<Vec<String>, String> {
    let package = super::package(name);
    let listing =
        cargo(&["package", "--quiet", "--list", "--allow-dirty", "--package", &package]).output()?;
    let packed: Vec<_> = listing.lines().collect();
    let mut faults = Vec::new();
    for file in FILES.into_iter().filter(|file| !packed.contains(file)) {
        faults.push(format!("{name} is packed without {file}"));
    }
    let manifest = root().join("crates").join(name).join("Cargo.toml");
    let text =
        std::fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let (_, section) = text.split_once("[package]").unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let has = |key: &str| {
        section.lines().any(|line| line.split(['=', '.']).next().is_some_and(|name| name.trim() == key))
    };
    faults.extend(KEYS.into_iter().filter(|key| !has(key)).map(|key| format!("{name} has no {key}")));
    Ok(faults)
}
