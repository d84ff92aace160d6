//! Whether the sandbox injects faults, and how it says so.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::common::{Server, landbridge};

const QUIET: [&str; 5] = ["sandbox", "--chat", "127.0.0.1:0", "--http", "127.0.0.1:0"];

/// What a sandbox says when it is ready.
fn faults(file: Option<&str>, flags: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    if let Some(faults) = file {
        let path = directory.path().join("landbridge.toml");
        fs::write(path, format!("[sandbox]\nfaults = \"{faults}\"\n")).unwrap();
    }
    Server::start(directory.path(), &[&QUIET[..], flags].concat()).text("faults")
}

#[test]
fn faults_are_on_at_low_rates_unless_told_otherwise() {
    for (file, flags, expected) in [
        (None, &[][..], "default"),
        (None, &["--calm"], "calm"),
        (None, &["--storm"], "storm"),
        (Some("calm"), &[], "calm"),
        (Some("storm"), &[], "storm"),
        (Some("storm"), &["--calm"], "calm"),
        (Some("calm"), &["--storm"], "storm"),
    ] {
        assert_eq!(faults(file, flags), expected, "{file:?} {flags:?}");
    }
}

#[test]
fn the_banner_says_so_and_how_to_turn_them_off() {
    let directory = tempfile::tempdir().unwrap();
    for (flags, environment, part) in [
        (&[][..], "false", "ON, "),
        (&["--storm"], "", "at ten times the usual rates"),
        (&["--fault", "tcp-reset=0.5"], "true", "as --fault says"),
        (&[], "true", "none (without --calm: some"),
    ] {
        let mut command = landbridge(directory.path());
        if !environment.is_empty() {
            command.env("LANDBRIDGE_SANDBOX_CALM", environment);
        }
        let mut child =
            command.args(QUIET).args(flags).args(["--log", "error"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let banner: Vec<_> = lines.take_while(|line| !line.contains("Ctrl-C")).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        let banner = banner.join("\n");
        assert!(banner.contains(part), "{flags:?}: {banner}");
        assert_eq!(banner.contains("--calm turns them off"), !part.starts_with("none"), "{banner}");
    }
}
