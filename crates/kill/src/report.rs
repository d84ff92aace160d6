//! What a run has seen.

use std::fmt;
use std::time::Duration;

/// What a run that found nothing wrong has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Lives that were killed.
    pub kills: u32,
    /// Lives in all.
    pub lives: u32,
    /// Handshakes that were cut off by a kill.
    pub cut: usize,
    /// Texts of phones that the application was shown.
    pub shown: usize,
    /// Of these, shown a second time because their handling was cut short.
    pub again: usize,
    /// Texts of the client that arrived after their sending was promised.
    pub promised: usize,
    /// Texts of the client whose sending was cut short, and that arrived.
    pub unknown_arrived: usize,
    /// Texts of the client whose sending was cut short, and that did not arrive.
    pub unknown_gone: usize,
    /// Message keys that passed the server.
    pub message_keys: usize,
    /// One-time prekeys that the server gave away.
    pub prekeys: usize,
    /// How long each life after the first took from the start of its process to its login.
    pub restarts: Vec<Duration>,
}

impl Report {
    /// Adds what another run has seen.
    pub fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.lives += other.lives;
        self.cut += other.cut;
        self.shown += other.shown;
        self.again += other.again;
        self.promised += other.promised;
        self.unknown_arrived += other.unknown_arrived;
        self.unknown_gone += other.unknown_gone;
        self.message_keys += other.message_keys;
        self.prekeys += other.prekeys;
        self.restarts.extend(other.restarts);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, lives, cut, shown, again, promised, unknown_arrived, unknown_gone, .. } = self;
        write!(
            f,
            "{kills} kills in {lives} lives, {cut} of them within the handshake; shown {shown}, {again} of them again; "
        )?;
        write!(f, "promised and arrived {promised}; cut short: {unknown_arrived} arrived, ")?;
        write!(f, "{unknown_gone} did not; {} message keys, ", self.message_keys)?;
        write!(f, "{} one-time prekeys, none twice", self.prekeys)?;
        let mut times = self.restarts.clone();
        times.sort_unstable();
        if let (Some(median), Some(most)) = (times.get(times.len() / 2), times.last()) {
            let millis = |time: &Duration| time.as_secs_f64() * 1e3;
            write!(f, "; restart until login: median {:.1} ms, most {:.1} ms", millis(median), millis(most))?;
        }
        Ok(())
    }
}
