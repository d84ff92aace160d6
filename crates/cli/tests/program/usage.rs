//! Flags, environment and configuration files: what is wrong is said in one sentence, with exit code 2.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::common::{Server, landbridge, run, stderr, stdout};

/// One line on standard error that contains `part`, nothing on standard output, exit code 2.
#[track_caller]
fn assert_refused(output: &Output, part: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "more than a sentence: {said}");
    assert!(said.starts_with("landbridge: "), "{said}");
    assert!(said.contains(part), "{part:?} is not in {said}");
    assert_eq!(stdout(output), "", "standard output is for results");
}

#[test]
fn wrong_flags_are_refused_in_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let long = "9".repeat(40);
    for (args, part) in [
        (&["sandbox", "--chatt", "127.0.0.1:0"][..], "'--chatt'"),
        (&["sandbox", "--chat", "nowhere"], "'nowhere'"),
        (&["sandbox", "--chat"], "--chat"),
        (&["sandbox", "--rate-limits", "maybe"], "maybe"),
        (&["sandbox", "--calm", "--storm"], "'--storm'"),
        (&["sandbox", "--fault", "tcp-reset"], "NAME=PROBABILITY"),
        (&["sandbox", "--fault", "no-such=1"], "known: http-refused"),
        (&["sandbox", "--fault", "tcp-reset=1.5"], "from 0 to 1"),
        (&["sandbox", "--partner", "0=http://127.0.0.1:1"], "from 1 to 999"),
        (&["sandbox", "--partner", "1000=http://127.0.0.1:1"], "from 1 to 999"),
        (&["sandbox", "--partner", "http://127.0.0.1:1"], "ID=URL"),
        (&["sandbox", "--partner", "1=ftp://127.0.0.1"], "no http or https URL"),
        (&["sandbox", "--chat", "0.0.0.0:0"], "--allow-remote"),
        (&["sandbox", "--http", "0.0.0.0:0"], "--allow-remote"),
        (&["sandbox", "--media", "0.0.0.0:0"], "--allow-remote"),
        (&["partner", "--postgres", "postgresql://user:secret@host/database"], "everybody on this machine"),
        (&["partner", "--postgres", "x", "--postgres-url-file", "y"], "cannot be used with"),
        (&["partner", "--nats-user", "x"], "--nats says where it is"),
        (&["partner", "--objects-region", "x"], "--objects-bucket names one"),
        (&["partner", "--integrator", "0"], "from 1 to 999"),
        (&["partner", "--integrator", "one"], "'one'"),
        (&["partner"], "--insecure-dev-auth"),
        (&["partner", "--dev-user", "a=b", "--addr", "127.0.0.1:0"], "--insecure-dev-auth"),
        (&["partner", "--insecure-dev-auth", "--dev-user", "alice"], "TOKEN=IDENTIFIER"),
        (&["partner", "--insecure-dev-auth", "--addr", "0.0.0.0:0"], "--allow-remote"),
        (
            &[
                "partner",
                "--insecure-dev-auth",
                "--addr",
                "127.0.0.1:0",
                "--base-url",
                "nonsense",
                "--log",
                "error",
            ],
            "base URL",
        ),
        (&["client"], "command is missing"),
        (&["client", "enlist"], "--identifier"),
        (&["client", "send", "--text", "hi"], "--to"),
        (&["client", "send", "--to", "you", "--text", "hi"], "neither a phone number nor an address"),
        (&["client", "send", "--to", &long, "--text", "hi"], "neither a phone number nor an address"),
        (&["client", "block", "@s.whatsapp.net"], "neither a phone number nor an address"),
        (&["client", "send", "--to", "14155551001", "--text", "hi", "--wait", "eternity"], "eternity"),
        (&["client", "ping", "--log", "landbridge=loud"], "log filter"),
        (&["demo", "--file", "missing.bin"], "missing.bin is no file"),
        (&["teleport"], "'teleport'"),
        (&[], "command is missing"),
    ] {
        let output = run(directory.path(), args);
        assert_refused(&output, part);
    }
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "a refused command left something behind: {left:?}");
}

#[test]
fn wrong_configuration_names_file_line_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("landbridge.toml");
    for (text, part) in [
        ("[sandbox]\nchatt = \"127.0.0.1:0\"\n", "landbridge.toml, line 2: unknown key `chatt`"),
        ("[snadbox]\n", "landbridge.toml, line 1: unknown key `snadbox`"),
        ("[partner]\nintegrator = 70000\n", "landbridge.toml, line 2: "),
        ("[profile]\nnonsense = 1\n", "landbridge.toml, line 2: unknown key `nonsense`"),
        ("[client\n", "landbridge.toml, line 1: "),
    ] {
        fs::write(&file, text).unwrap();
        assert_refused(&run(directory.path(), &["client", "ping"]), part);
    }
    fs::write(&file, "[partner]\nintegrator = 1000\n").unwrap();
    assert_refused(&run(directory.path(), &["partner"]), "1000 is not from 1 to 999");
    assert_refused(
        &run(directory.path(), &["--config", "missing.toml", "client", "ping"]),
        "missing.toml cannot be read",
    );
}

#[test]
fn unknown_settings_in_the_environment_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = landbridge(directory.path())
        .args(["client", "ping"])
        .env("LANDBRIDGE_CLIENT_CHATT", "x")
        .output()
        .unwrap();
    assert_refused(&output, "LANDBRIDGE_CLIENT_CHATT");
    let output =
        landbridge(directory.path()).args(["sandbox"]).env("LANDBRIDGE_SANDBOX_CHAT", "x").output().unwrap();
    assert_refused(&output, "'x'");
    // Other programs' variables are none of ours.
    let output = landbridge(directory.path())
        .args(["client", "ping"])
        .env("LANDBRIDGE_ELSEWHERE", "x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn flags_win_over_environment_over_file() {
    let directory = tempfile::tempdir().unwrap();
    let attempt = |file: &str, variable: Option<&str>, flag: Option<&str>| {
        fs::write(directory.path().join("landbridge.toml"), file).unwrap();
        let mut command = landbridge(directory.path());
        command.args(["partner"]);
        if let Some(value) = variable {
            command.env("LANDBRIDGE_PARTNER_INTEGRATOR", value);
        }
        if let Some(value) = flag {
            command.args(["--integrator", value]);
        }
        stderr(&command.output().unwrap())
    };
    let file = "[partner]\nintegrator = 1001\n";
    assert!(attempt(file, None, None).contains("1001"));
    assert!(attempt(file, Some("1002"), None).contains("1002"));
    assert!(attempt(file, Some("1002"), Some("1003")).contains("1003"));
}

#[test]
fn a_command_without_an_account_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    for command in [
        &["ping"][..],
        &["listen"],
        &["blocklist"],
        &["delete"],
        &["keys"],
        &["send", "--to", "14155551001", "--text", "x"],
    ] {
        let output = run(directory.path(), &[&["client"], command].concat());
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = stderr(&output);
        assert!(said.contains("run `landbridge client enlist` first") && said.lines().count() == 1, "{said}");
    }
    assert!(!Path::new(&directory.path().join("landbridge-client")).exists(), "nothing was made");
}

#[test]
fn help_names_every_command_and_its_environment() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["--help"]);
    assert!(output.status.success());
    for command in ["sandbox", "partner", "client"] {
        assert!(stdout(&output).contains(command), "{command}");
        let output = run(directory.path(), &[command, "--help"]);
        assert!(output.status.success(), "{command}");
        let help = stdout(&output);
        assert!(help.contains(&format!("LANDBRIDGE_{}_DATA", command.to_uppercase())), "{help}");
        assert_eq!(stderr(&output), "");
    }
    let output = landbridge(directory.path())
        .args(["partner", "--help"])
        .env("LANDBRIDGE_PARTNER_POSTGRES", "postgresql://user:a-secret@host/database")
        .output()
        .unwrap();
    assert!(stdout(&output).contains("LANDBRIDGE_PARTNER_POSTGRES"));
    assert!(!stdout(&output).contains("a-secret"), "help shows a secret");
    let output = landbridge(directory.path())
        .args(["client", "--help"])
        .env("LANDBRIDGE_CLIENT_SESSION", "a-secret")
        .output()
        .unwrap();
    assert!(!stdout(&output).contains("a-secret"), "help shows a secret");
    assert!(run(directory.path(), &["--version"]).status.success());
}

/// Two servers on one directory would undo each other's work.
#[test]
fn a_data_directory_has_one_sandbox() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["sandbox", "--chat", "127.0.0.1:0", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0"];
    let args = [&args[..], &["--data", "whatsapp", "--calm"]].concat();
    let first = Server::start(directory.path(), &args);
    let second = run(directory.path(), &args);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        stderr(&second).contains("another sandbox uses the data directory whatsapp"),
        "{}",
        stderr(&second)
    );
    let (status, _) = first.stop("KILL");
    assert!(!status.success());
    let (status, _) = Server::start(directory.path(), &args).stop("INT");
    assert!(status.success(), "a killed one leaves nothing that is in the way");
}
