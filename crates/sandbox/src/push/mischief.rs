//! Pushes as they should not be: what a partner's server meets in the world.

use std::time::Duration;

use super::bearer::Flaw;
use super::board::{Extra, Recipient};
use super::exchange::{Break, HeadForm, is_plain};
use crate::faults::Fault;
use crate::state::State;

/// How far the clock that dates a bearer may be wrong, in seconds: as far as a verifier allows.
const SKEW: u64 = 60;

/// What is done to one push.
#[derive(Debug, Default)]
pub(super) struct Tricks {
    pub(super) late: Option<Duration>,
    /// Another push of the partner goes first, if one comes.
    pub(super) overtaken: bool,
    pub(super) other_version: bool,
    pub(super) form: HeadForm,
    pub(super) flaw: Option<Flaw>,
    pub(super) broken: Option<Break>,
    pub(super) twice: bool,
}

impl Tricks {
    /// Decides what is done to a push, and writes it to the journal.
    pub(super) fn roll(state: &State, to: &Recipient, url: &str) -> Self {
        let faults = &state.faults;
        if !faults.any() {
            return Self::default();
        }
        let say = |fault, what: String| state.injected(fault, None, Some(&to.jid), None, what);
        let mut tricks = Self::default();
        if let Some(mut dice) = faults.roll(Fault::PushLate) {
            let late = dice.up_to(state.config.fault_times.push);
            say(Fault::PushLate, format!("{} ms late", late.as_millis()));
            tricks.late = Some(late);
        }
        if faults.roll(Fault::PushReordered).is_some() {
            say(Fault::PushReordered, "it waits for another push to go first".to_owned());
            tricks.overtaken = true;
        }
        if faults.roll(Fault::PushVersion).is_some() {
            say(Fault::PushVersion, "the other version of HTTP".to_owned());
            tricks.other_version = true;
        }
        if let Some(mut dice) = faults.roll(Fault::HttpHeaders) {
            tricks.form = HeadForm::Shuffled { turns: usize::try_from(dice.below(3)).unwrap_or(0) };
            let names = tricks.form.fields(["content-type", "authorization", "accept"]).join(", ");
            say(Fault::HttpHeaders, format!("Title-Case, in the order {names}"));
        }
        if let Some(mut dice) = faults.roll(Fault::PushClock) {
            let by = i64::try_from(dice.below(2 * SKEW + 1)).unwrap_or(0).saturating_sub_unsigned(SKEW);
            say(Fault::PushClock, format!("the bearer's clock is wrong by {by} s"));
            tricks.flaw = Some(Flaw::Clock(by));
        }
        if faults.roll(Fault::PushAudience).is_some() {
            say(Fault::PushAudience, "the bearer is for another partner".to_owned());
            tricks.flaw = Some(Flaw::Audience);
        }
        if faults.roll(Fault::PushExpired).is_some() {
            say(Fault::PushExpired, "the bearer ended an hour ago".to_owned());
            tricks.flaw = Some(Flaw::Expired);
        }
        for (fault, at, what) in [
            (Fault::PushBrokenBefore, Break::Before, "the connection breaks in the middle of the body"),
            (Fault::PushBrokenAfter, Break::After, "the connection breaks when the answer begins"),
        ] {
            // Over TLS there is no telling where a body is in the stream.
            if is_plain(url) && faults.roll(fault).is_some() {
                say(fault, what.to_owned());
                tricks.broken = Some(at);
            }
        }
        if faults.roll(Fault::PushTwice).is_some() {
            say(Fault::PushTwice, "once more behind the answer".to_owned());
            tricks.twice = true;
        }
        tricks
    }
}

/// A push for a user whom nobody knows, if a fault wants one to go along with another.
pub(super) fn for_nobody(state: &State, integrator: u16) -> Option<Extra> {
    let mut dice = state.faults.roll(Fault::PushUnknown)?;
    let identifier = format!("nobody-{:08x}", dice.below(1 << 32));
    state.injected(Fault::PushUnknown, None, None, None, format!("a push for {identifier}"));
    Some(Extra { jid: None, integrator, identifier })
}
