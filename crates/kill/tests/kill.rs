//! A few kills at random, and one at each commit point; `cargo xtask kill` does many.

#![allow(clippy::panic, clippy::print_stdout, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use landbridge_kill::{KillError, Report, Script, Share, at_commit_points, at_random};

const PROGRAM: &str = env!("CARGO_BIN_EXE_landbridge-kill");

fn seen(outcome: Result<Report, KillError>) -> Report {
    match outcome {
        Ok(report) => {
            println!("{report}");
            report
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)),
    }
}

async fn random(seed: u64) {
    println!("seed {seed}");
    let report = seen(at_random(Path::new(PROGRAM), seed, 10).await);
    assert!(report.kills >= 10 && report.lives > report.kills, "{report}");
    assert!(report.shown > 0 && report.promised > 0 && report.message_keys > 0, "{report}");
}

async fn commits(script: Script, part: u32) {
    let report = seen(at_commit_points(Path::new(PROGRAM), script, Share { part, of: 2 }).await);
    assert!(report.kills > 10, "the script has more commits than that: {report}");
    assert!(report.shown > 0 && report.promised > 0 && report.message_keys > 0, "{report}");
}

#[tokio::test]
async fn killed_at_random() {
    random(1).await;
}

#[tokio::test]
async fn killed_at_random_with_another_seed() {
    random(2).await;
}

#[tokio::test]
async fn killed_before_every_commit_of_the_first_login() {
    commits(Script::First, 0).await;
}

#[tokio::test]
async fn killed_after_every_commit_of_the_first_login() {
    commits(Script::First, 1).await;
}

#[tokio::test]
async fn killed_before_every_commit_of_a_later_login() {
    commits(Script::Later, 0).await;
}

#[tokio::test]
async fn killed_after_every_commit_of_a_later_login() {
    commits(Script::Later, 1).await;
}
