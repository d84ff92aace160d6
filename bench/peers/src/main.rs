//! Compares codec, channel and Signal protocol with their peers; see README.md.

mod codec;
mod counting;
mod crypto;
mod facade;
mod goals;
mod measure;
mod noise;
mod signal;

use std::process::ExitCode;

use measure::{Fact, Figure, Report};

const USAGE: &str = "usage: landbridge-bench-peers [codec] [noise] [signal] [crypto] [facade] [--json] [--rounds N] [--only WORDS]";

type Part = fn(&Options) -> Result<Report, String>;

const PARTS: [(&str, Part); 5] = [
    ("codec", codec::run),
    ("noise", noise::run),
    ("signal", signal::run),
    ("crypto", crypto::run),
    ("facade", facade::run),
];

struct Options {
    json: bool,
    rounds: usize,
    /// Only cases whose names contain this.
    only: String,
    parts: Vec<(&'static str, Part)>,
}

impl Options {
    fn wants(&self, case: &str) -> bool {
        case.contains(&self.only)
    }
}

fn options() -> Option<Options> {
    let mut options = Options { json: false, rounds: 41, only: String::new(), parts: Vec::new() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => options.json = true,
            "--rounds" => options.rounds = args.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            "--only" => options.only = args.next()?,
            name => options.parts.push(PARTS.into_iter().find(|(part, _)| *part == name)?),
        }
    }
    if options.parts.is_empty() {
        // Whole builds take minutes, and run only when they are asked for.
        options.parts.extend(PARTS.into_iter().filter(|(name, _)| *name != "facade"));
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut report = Report::default();
    for (name, part) in &options.parts {
        match part(&options) {
            Ok(part) => {
                report.figures.extend(part.figures);
                report.facts.extend(part.facts);
            }
            Err(reason) => {
                eprintln!("{name}: {reason}");
                return ExitCode::FAILURE;
            }
        }
    }
    let goals = goals::goals(&report);
    if options.json {
        let figures: Vec<_> = report.figures.iter().map(Figure::json).collect();
        let facts: Vec<_> = report.facts.iter().map(Fact::json).collect();
        println!(
            "{}",
            serde_json::json!({
                "schema": "landbridge-bench-peers/3",
                "figures": figures,
                "facts": facts,
                "goals": goals.iter().map(goals::Goal::json).collect::<Vec<_>>(),
            })
        );
    } else {
        print_figures(&report.figures);
        print_facts(&report.facts);
        goals::print(&goals);
    }
    ExitCode::SUCCESS
}

fn print_figures(figures: &[Figure]) {
    if figures.is_empty() {
        return;
    }
    println!("{:42} {:22} {:>12} {:>9} {:>8}", "case", "contender", "ns", "times", "allocs");
    let mut last = String::new();
    for Figure { part, case, contender, nanoseconds, ratio, allocations } in figures {
        let title = format!("{part}: {case}");
        let shown = if title == last { "" } else { &title };
        println!("{shown:42} {contender:22} {nanoseconds:>12.1} {ratio:>9.3} {allocations:>8.1}");
        last = title;
    }
}

fn print_facts(facts: &[Fact]) {
    for Fact { part, case, contender, value, unit } in facts {
        println!("{:42} {contender:22} {value:>12.1} {unit}", format!("{part}: {case}"));
    }
}
