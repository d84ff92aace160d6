//! `landbridge explain`: one message from end to end, from the store alone.

use std::path::PathBuf;

use landbridge::stanza::MessageId;
use landbridge::store::SqliteStore;
use landbridge::{Explanation, Standing, explain_offline};
use serde_json::{Value, json};

use crate::config::Config;
use crate::failure::Failure;
use crate::output;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The message's id, as `client send` and `client listen` print it
    #[arg(value_name = "ID")]
    id: String,
    /// Where the client keeps keys and messages [default: landbridge-client]
    #[arg(long, value_name = "DIR", env = "LANDBRIDGE_CLIENT_DATA")]
    data: Option<PathBuf>,
    /// Print JSON, one object per chat in which the id occurs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, config: Config) -> Result<(), Failure> {
    let id: MessageId = args
        .id
        .parse()
        .map_err(|_| Failure::usage(format!("{:?} is no message id: 1 to 128 characters", args.id)))?;
    let data = args.data.clone().or(config.client.data).unwrap_or_else(|| PathBuf::from("landbridge-client"));
    let path = data.join("client.db");
    if !path.exists() {
        return Err(Failure::runtime(format!(
            "there is no client in {}; give its directory with --data",
            data.display()
        )));
    }
    let mut store = SqliteStore::open(&path).map_err(|error| Failure::from_error(&error))?;
    let found = explain_offline(&mut store, &id).map_err(|error| Failure::from_error(&error))?;
    if found.is_empty() {
        return Err(Failure::runtime(format!(
            "nothing is known of message {id}: it never was here, or it is more than a month ago"
        )));
    }
    for explanation in found {
        if args.json { output::json(&as_json(&explanation))? } else { output::line(&as_text(&explanation))? }
    }
    Ok(())
}

fn standing(standing: &Standing) -> (&'static str, String, Value) {
    match standing {
        Standing::Sent { state, failure, retries } => {
            let why = failure.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let text = format!("to them, {}{why}", state.name());
            ("sent", text, json!({ "state": state.name(), "failure": failure, "retries": retries }))
        }
        Standing::Received { taken, receipt_owed } => {
            let taken_text = if *taken { "taken by the application" } else { "waiting for the application" };
            let owed = if *receipt_owed { ", its receipt still to be written" } else { "" };
            let value = json!({ "taken": taken, "receipt_owed": receipt_owed });
            ("received", format!("from them, {taken_text}{owed}"), value)
        }
        Standing::Undecryptable { failures, asked, reason } => {
            let text = format!("from them, not readable yet: {failures} copies, asked for {asked} times");
            ("undecryptable", text, json!({ "failures": failures, "asked": asked, "reason": reason }))
        }
        _ => ("not_stored", "not stored".to_owned(), json!({})),
    }
}

fn as_json(explanation: &Explanation) -> Value {
    let (name, _, details) = standing(&explanation.standing);
    let trail: Vec<_> = explanation
        .trail
        .iter()
        .map(|entry| json!({ "at": entry.at, "step": entry.step.name(), "what": entry.step.to_string() }))
        .collect();
    json!({
        "id": explanation.id.to_string(),
        "chat": explanation.chat.to_string(),
        "standing": name,
        "details": details,
        "trail": trail,
    })
}

fn as_text(explanation: &Explanation) -> String {
    let (_, text, _) = standing(&explanation.standing);
    let mut lines = vec![format!("message {} with {}: {text}", explanation.id, explanation.chat)];
    let mut day = None;
    for entry in &explanation.trail {
        let today = entry.at / 86_400;
        if day.replace(today) != Some(today) {
            lines.push(format!("  {} UTC", date(today)));
        }
        let second = entry.at % 86_400;
        let (hours, minutes) = (second / 3_600, second / 60 % 60);
        lines.push(format!("    {hours:02}:{minutes:02}:{:02}  {}", second % 60, entry.step));
    }
    lines.join("\n")
}

/// A day since 1 January 1970 as `2026-11-24`, in the Gregorian calendar.
fn date(days: u64) -> String {
    // Counted in eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_have_the_dates_of_the_calendar() {
        for (days, text) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (19_782, "2024-02-29"),
            (19_783, "2024-03-01"),
            (20_088, "2024-12-31"),
            (20_781, "2026-11-24"),
        ] {
            assert_eq!(date(days), text);
        }
    }
}
