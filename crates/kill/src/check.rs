//! The ledger: what was written on one side against what was shown on the other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use landbridge_sandbox::{Direction, MessageState};

use crate::error::KillError;
use crate::journal::Line;
use crate::report::Report;
use crate::world::{Phone, World};

/// Compares the journal of the application with what the phones wrote and show.
pub(crate) fn check(world: &World, lines: &[Line]) -> Result<Report, KillError> {
    let mut faults: Vec<String> = world.recorder.violations().to_vec();
    faults.extend(world.recorder.connections.violations(&world.killed));
    let (message_keys, prekeys) = world.recorder.seen();
    let mut report = Report {
        kills: u32::try_from(world.killed.len()).unwrap_or(u32::MAX),
        lives: world.lives,
        cut: world.recorder.connections.cut(&world.killed),
        message_keys,
        prekeys,
        ..Report::default()
    };
    let mut first = true;
    for line in lines {
        match line {
            Line::Connected { .. } if first => first = false,
            Line::Connected { micros } => report.restarts.push(Duration::from_micros(*micros)),
            Line::Odd { what } => faults.push(format!("the client told: {what}")),
            _ => {}
        }
    }
    to_the_client(&world.phones, &world.killed, lines, &mut report, &mut faults);
    for phone in &world.phones {
        to_a_phone(world, phone, lines, &mut report, &mut faults)?;
    }
    if faults.is_empty() { Ok(report) } else { Err(KillError::Violation { what: faults.join("\n") }) }
}

/// All that phones wrote was shown, in order and once; but for what a killed life was shown last.
fn to_the_client(
    phones: &[Phone],
    killed: &[u32],
    lines: &[Line],
    report: &mut Report,
    faults: &mut Vec<String>,
) {
    let mut shown: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut last = None;
    // The present life, and the one that was shown the last message.
    let (mut life, mut last_life) = (0, 0);
    for line in lines {
        match line {
            Line::Begin { life: next } => life = *next,
            Line::Shown { from, id, text } => {
                let cut_short = life != last_life && killed.contains(&last_life);
                if cut_short && last == Some((from, id)) {
                    report.again += 1;
                } else {
                    shown.entry(from.clone()).or_default().push((id.clone(), text.clone()));
                }
                (last, last_life) = (Some((from, id)), life);
            }
            _ => {}
        }
    }
    for phone in phones {
        let shown = shown.remove(&phone.jid()).unwrap_or_default();
        report.shown += shown.len();
        if shown != phone.wrote {
            faults.push(format!("{} wrote {:?} and {shown:?} was shown", phone.number, phone.wrote));
        }
    }
    if !shown.is_empty() {
        faults.push(format!("nobody wrote {shown:?}"));
    }
}

/// All that was promised is on the phone's screen, in order and once; what was cut short, once at most.
fn to_a_phone(
    world: &World,
    phone: &Phone,
    lines: &[Line],
    report: &mut Report,
    faults: &mut Vec<String>,
) -> Result<(), KillError> {
    let jid = phone.jid();
    let mut asked = Vec::new();
    let mut promised = BTreeMap::new();
    let mut refused = BTreeSet::new();
    for line in lines {
        match line {
            Line::Asked { to, text } if *to == jid => asked.push(text.clone()),
            Line::Accepted { to, id, text } if *to == jid => {
                promised.insert(text.clone(), id.clone());
            }
            Line::Refused { to, text } if *to == jid => {
                refused.insert(text.clone());
            }
            _ => {}
        }
    }
    let mut arrived = Vec::new();
    for message in world.screen(phone)? {
        let state = message.state;
        match message.direction {
            Direction::Sent if state < MessageState::Delivered => {
                faults.push(format!("{jid} wrote {} and it is {state:?}", message.id));
            }
            Direction::Sent => {}
            Direction::Received => {
                let text = message.text.unwrap_or_default();
                if state < MessageState::Shown || message.failure.is_some() {
                    faults.push(format!("{} is {state:?} at {jid}: {:?}", message.id, message.failure));
                }
                if promised.get(&text).is_some_and(|id| *id != message.id) {
                    faults.push(format!("text {text} has come to {jid} as {}", message.id));
                }
                arrived.push(text);
            }
        }
    }
    // What may be missing is taken out of what was asked for; the rest has to be what arrived.
    let there: BTreeSet<_> = arrived.iter().cloned().collect();
    let mut expected = Vec::new();
    for text in asked {
        match (promised.contains_key(&text), there.contains(&text)) {
            (true, _) => report.promised += 1,
            (false, true) if !refused.contains(&text) => report.unknown_arrived += 1,
            (false, _) => {
                report.unknown_gone += usize::from(!refused.contains(&text));
                continue;
            }
        }
        expected.push(text);
    }
    if arrived != expected {
        faults.push(format!("{jid} shows {arrived:?} instead of {expected:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when a phone wrote 1, 2, 3 and each of the `lives`, the first of which is killed, was shown these.
    fn judge(lives: &[&[&str]]) -> (usize, Vec<String>) {
        let wrote: Vec<_> = ["1", "2", "3"].map(|text| (format!("id{text}"), text.to_owned())).into();
        let phone = Phone::with(wrote);
        let mut lines = Vec::new();
        for (life, shown) in (1..).zip(lives) {
            lines.push(Line::Begin { life });
            let line = |text: &&str| Line::Shown {
                from: phone.jid(),
                id: format!("id{text}"),
                text: (*text).to_owned(),
            };
            lines.extend(shown.iter().map(line));
        }
        let (mut report, mut faults) = (Report::default(), Vec::new());
        to_the_client(&[phone], &[1], &lines, &mut report, &mut faults);
        (report.again, faults)
    }

    #[test]
    fn the_last_message_of_a_killed_life_may_come_again() {
        for (lives, again) in [
            (&[&["1", "2", "3"][..], &[]][..], 0),
            (&[&["1", "2"], &["3"]], 0),
            (&[&["1", "2"], &["2", "3"]], 1),
            (&[&["1", "2"], &[], &["2", "3"]], 1),
        ] {
            assert_eq!(judge(lives), (again, vec![]), "{lives:?}");
        }
    }

    #[test]
    fn whatever_else_is_lost_doubled_or_out_of_order_is_found() {
        for lives in [
            // Lost.
            &[&["1", "2"][..], &[]][..],
            &[&["1"], &["3"]],
            // Out of order.
            &[&["2", "1"], &["3"]],
            // Twice in one life.
            &[&["1", "1"], &["2", "3"]],
            // Again, but not the last.
            &[&["1", "2"], &["1", "2", "3"]],
            // Again, but not as the next one.
            &[&["1", "2"], &["3", "2"]],
            // Again twice.
            &[&["1", "2"], &["2", "2", "3"]],
            // Again after a life that was not killed.
            &[&["1"], &["2"], &["2", "3"]],
            // Nobody wrote it.
            &[&["1", "2", "3"], &["4"]],
        ] {
            assert_eq!(judge(lives).1.len(), 1, "{lives:?}");
        }
    }
}
