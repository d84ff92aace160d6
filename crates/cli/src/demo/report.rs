//! What the demo prints: a line for each check as it ends, and a table at the end.

use std::fmt::Display;
use std::time::{Duration, Instant};

use comfy_table::{Cell, ContentArrangement, Table, presets};

/// Why a check did not pass, as a sentence.
pub(super) type Failure = String;

struct Check {
    milestone: &'static str,
    name: String,
    verdict: Verdict,
    took: Duration,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Verdict {
    Passed,
    Failed,
}

/// Collects the checks.
pub(super) struct Report {
    started: Instant,
    milestone: &'static str,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), milestone: "", checks: Vec::new() }
    }

    /// Begins a milestone.
    pub(super) fn milestone(&mut self, name: &'static str, title: &str) {
        self.milestone = name;
        println!("\n{name}: {title}");
    }

    /// Runs one check and prints what it saw. `Some` if it passed.
    pub(super) async fn check<T>(
        &mut self,
        name: impl Into<String>,
        work: impl Future<Output = Result<(T, String), Failure>>,
    ) -> Result<T, Stop> {
        let name = name.into();
        let start = Instant::now();
        let outcome = work.await;
        let took = start.elapsed();
        let (verdict, mark, seen, value) = match outcome {
            Ok((value, seen)) => (Verdict::Passed, "ok  ", seen, Ok(value)),
            Err(failure) => (Verdict::Failed, "FAIL", failure, Err(Stop)),
        };
        let mut lines = seen.lines();
        println!("  {mark} {name:<34} {} [{}]", lines.next().unwrap_or_default(), Millis(took));
        for line in lines {
            println!("       {:<34} {line}", "");
        }
        self.checks.push(Check { milestone: self.milestone, name, verdict, took });
        value
    }

    /// Whether all that ran passed.
    pub(super) fn all_passed(&self) -> bool {
        self.checks.iter().all(|check| check.verdict == Verdict::Passed)
    }

    /// Prints the table.
    pub(super) fn finish(&self, complete: Completeness) {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["milestone", "check", "verdict", "time"]);
        let mut last = "";
        for check in &self.checks {
            let milestone = if check.milestone == last { "" } else { check.milestone };
            last = check.milestone;
            let verdict = if check.verdict == Verdict::Passed { "passed" } else { "FAILED" };
            table.add_row([
                Cell::new(milestone),
                Cell::new(&check.name),
                Cell::new(verdict),
                Cell::new(Millis(check.took)),
            ]);
        }
        let passed = self.checks.iter().filter(|check| check.verdict == Verdict::Passed).count();
        let failed = self.checks.len() - passed;
        println!("\n{table}");
        println!("{passed} passed, {failed} failed, in {:.2} s", self.started.elapsed().as_secs_f64());
        if complete == Completeness::CutShort {
            println!("The checks behind the failed one were not run.");
        }
    }
}

/// Whether every check was run.
#[derive(PartialEq, Eq, Clone, Copy)]
pub(super) enum Completeness {
    /// All of them.
    Whole,
    /// A failed one ended the run.
    CutShort,
}

/// A check failed; what comes behind it depends on it. The report has the reason.
#[derive(Debug)]
pub(super) struct Stop;

/// Milliseconds with one digit behind the point.
pub(super) struct Millis(pub(super) Duration);

impl Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{:.1} ms", self.0.as_secs_f64() * 1e3))
    }
}
