//! The leg `services`: what needs engines that are not Rust crates, and the partner server's own tests once more over them.

use std::path::Path;

use crate::{
    legs::Missing,
    run::{Outcome, Program, cargo},
};

/// Packages whose tests start engines; the leg `core` leaves them out.
pub(crate) const PACKAGES: [&str; 2] = ["landbridge-engines", "landbridge-localservices"];

/// Program, where Debian puts it outside of the path, one directory per version, and its package.
const PROGRAMS: [(&str, Option<&str>, &str); 2] =
    [("initdb", Some("/usr/lib/postgresql"), "postgresql"), ("nats-server", None, "nats-server")];

pub(crate) fn run_leg(missing: Missing) -> Outcome {
    for (program, versions, package) in PROGRAMS {
        if !is_there(program, versions) {
            return missing.report("services", &format!("{program} is not installed (Debian: {package})"));
        }
    }
    // One command for all: the partner's tests read the variable, the others need none.
    let packages = PACKAGES.iter().chain(&["landbridge-partner"]).flat_map(|package| ["--package", package]);
    cargo(&["test"]).args(packages).env("LANDBRIDGE_TEST_MODE", "grown").run()?;
    servers().run()
}

/// The program's servers as processes over the engines, killed and restarted.
pub(crate) fn servers() -> Program {
    let grown = ["test", "--package", "landbridge-cli", "--test", "grown"];
    cargo(&grown).env("LANDBRIDGE_TEST_MODE", "grown")
}

fn is_there(program: &str, versions: Option<&str>) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = std::env::split_paths(&path);
    let versions = versions.and_then(|versions| Path::new(versions).read_dir().ok());
    let mut beside = versions.into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    directories.any(|directory| directory.join(program).is_file())
        || beside.any(|directory| directory.join(program).is_file())
}
