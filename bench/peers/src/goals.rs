//! What was aimed at, beside what was measured.

use crate::measure::{Fact, Figure, Report};

/// One aim. Its figure is a median of this very run.
pub struct Goal {
    case: String,
    /// What ours is held against.
    beside: &'static str,
    figure: f64,
    aim: Aim,
}

#[derive(Clone, Copy)]
enum Aim {
    /// How many times as long the other takes.
    Times(f64),
    /// What share the other's time is of ours, where the other is what ours is made of.
    Share(f64),
    /// In a unit.
    AtMost(f64, &'static str),
}

impl Goal {
    fn reached(&self) -> bool {
        match self.aim {
            Aim::Times(least) | Aim::Share(least) => self.figure >= least,
            Aim::AtMost(most, _) => self.figure <= most,
        }
    }

    pub fn json(&self) -> serde_json::Value {
        let (kind, aim) = match self.aim {
            Aim::Times(least) => ("times", least),
            Aim::Share(least) => ("share", least),
            Aim::AtMost(most, unit) => (unit, most),
        };
        serde_json::json!({
            "case": self.case,
            "beside": self.beside,
            "kind": kind,
            "figure": self.figure,
            "goal": aim,
            "reached": self.reached(),
        })
    }
}

/// The goals to which the report has a figure.
pub fn goals(report: &Report) -> Vec<Goal> {
    let mut goals: Vec<Goal> = report.figures.iter().filter_map(|figure| beside_peer(figure)).collect();
    goals.extend(reversed(&report.figures));
    goals.extend(report.facts.iter().filter_map(in_units));
    goals
}

fn beside_peer(figure: &Figure) -> Option<Goal> {
    let Figure { part, case, contender, ratio, .. } = figure;
    let long = case.starts_with("binary_64k");
    let aim = match (*part, *contender) {
        ("codec", "wacore-binary") if case.ends_with(" decode") => Aim::Times(2.5),
        ("codec", "wacore-binary") if case.ends_with(" encode") && !long => Aim::Times(3.0),
        // At most 1.15 of a memcpy.
        ("codec", "memcpy") if long => Aim::Share(1.0 / 1.15),
        ("codec", "wacore-binary") if case.ends_with(" build+encode") => Aim::Times(2.0),
        ("noise", "bare ring") => Aim::Share(0.9),
        ("noise", "bare X25519") => Aim::Share(0.93),
        ("signal", "wacore-libsignal" | "same, store hooks") if case.ends_with(" 200 B") => Aim::Times(1.5),
        ("signal", "bare curve" | "bare X25519") => Aim::Share(0.97),
        _ => return None,
    };
    let beside = match *contender {
        "same, store hooks" => "wacore-libsignal, store hooks",
        name => name,
    };
    Some(Goal { case: format!("{part}: {case}"), beside, figure: *ratio, aim })
}

/// A thousand messages in reverse order, at no less than half the rate of those in order.
fn reversed(figures: &[Figure]) -> Option<Goal> {
    let ours = |case: &str| {
        let mut found = figures.iter().filter(|figure| figure.contender == "landbridge-signal");
        found.find(|figure| figure.case == case).map(|figure| figure.nanoseconds)
    };
    let case = "decrypt 1,000 reversed";
    let figure = ours("decrypt 200 B")? / ours(case)?;
    Some(Goal { case: format!("signal: {case}"), beside: "the same in order", figure, aim: Aim::Share(0.5) })
}

fn in_units(fact: &Fact) -> Option<Goal> {
    let (figure, aim) = match (fact.contender, fact.case) {
        ("landbridge", "stripped library") => (fact.value / 1e6, Aim::AtMost(3.0, "MB")),
        ("landbridge", "cold build, elapsed") => (fact.value, Aim::AtMost(90.0, "s")),
        _ => return None,
    };
    Some(Goal { case: format!("{}: {}", fact.part, fact.case), beside: "", figure, aim })
}

pub fn print(goals: &[Goal]) {
    if goals.is_empty() {
        return;
    }
    println!("\n{:42} {:30} {:>9} {:>10}", "case", "beside", "figure", "goal");
    for goal in goals {
        let aim = match goal.aim {
            Aim::Times(least) => format!("≥ {least:.1} ×"),
            Aim::Share(least) => format!("≥ {least:.2}"),
            Aim::AtMost(most, unit) => format!("≤ {most:.0} {unit}"),
        };
        let verdict = if goal.reached() { "" } else { "MISSED" };
        println!("{:42} {:30} {:>9.3} {aim:>10} {verdict}", goal.case, goal.beside, goal.figure);
    }
    let reached = goals.iter().filter(|goal| goal.reached()).count();
    println!("{reached} of {} goals reached", goals.len());
}
