//! Messages of one peer that do not open, one after the other: how much work each of them is given, and what is logged.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Messages of one peer and minute that are tried although the ones before did not open.
const TRIED: u32 = 32;
/// Of those that follow, one in so many is tried: the peer may have come to its senses.
const PROBE_EVERY: u32 = 16;
/// Messages of one peer and minute that are asked for again; what comes after them is acked and no more.
const ASKED: u32 = 512;
/// Peers that are watched at a time.
const MOST_PEERS: usize = 1_024;

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// It is decrypted.
    Try,
    /// It is not tried, and asked for again without keys.
    AskAgain,
    /// It is acked.
    Ack,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flood {
    /// Minutes of unix time.
    minute: u64,
    /// Failures in this minute since the last message that opened.
    failures: u32,
    /// Failures since the last line of the log.
    unlogged: u64,
}

/// The peers whose messages do not open at present.
#[derive(Debug, Default)]
pub(crate) struct Floods(Mutex<HashMap<String, Flood>>);

impl Floods {
    /// What to do with the next message of a peer. `now` in unix seconds.
    pub(crate) fn care(&self, peer: &str, now: u64) -> Care {
        let floods = self.lock();
        match floods.get(peer).filter(|flood| flood.minute == now / 60).map_or(0, |flood| flood.failures) {
            failures if failures < TRIED || failures % PROBE_EVERY == 0 => Care::Try,
            failures if failures < ASKED => Care::AskAgain,
            _ => Care::Ack,
        }
    }

    /// A message of the peer did not open, or was not tried. Gives the number of such messages since the last line of the
    /// log, if it is time for another one: once a minute.
    pub(crate) fn failed(&self, peer: &str, now: u64) -> Option<u64> {
        let (minute, mut floods) = (now / 60, self.lock());
        if floods.len() >= MOST_PEERS && !floods.contains_key(peer) {
            floods.retain(|_, flood| flood.minute == minute);
        }
        if floods.len() >= MOST_PEERS && !floods.contains_key(peer) {
            floods.clear();
        }
        let flood = floods.entry(peer.to_owned()).or_default();
        flood.unlogged += 1;
        if flood.minute == minute {
            flood.failures = flood.failures.saturating_add(1);
            return None;
        }
        (flood.minute, flood.failures) = (minute, 1);
        Some(std::mem::take(&mut flood.unlogged))
    }

    /// A message of the peer has opened.
    pub(crate) fn opened(&self, peer: &str) {
        if let Some(flood) = self.lock().get_mut(peer) {
            flood.failures = 0;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Flood>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the next `count` failing messages get each care.
    fn pour(floods: &Floods, peer: &str, now: u64, count: u32) -> (u32, u32, u32) {
        let mut cares = (0, 0, 0);
        for _ in 0..count {
            match floods.care(peer, now) {
                Care::Try => cares.0 += 1,
                Care::AskAgain => cares.1 += 1,
                Care::Ack => cares.2 += 1,
            }
            floods.failed(peer, now);
        }
        cares
    }

    #[test]
    fn work_shrinks_within_a_minute_and_begins_anew_in_the_next() {
        let floods = Floods::default();
        let (tried, asked, acked) = pour(&floods, "bob", 60, 1_024);
        assert_eq!((tried, asked, acked), (32 + 992 / 16, 450, 480));
        assert_eq!(floods.care("eve", 60), Care::Try, "one peer's flood is no other's");
        assert_eq!(pour(&floods, "bob", 120, 32), (32, 0, 0));
    }

    #[test]
    fn a_message_that_opens_ends_it() {
        let floods = Floods::default();
        pour(&floods, "bob", 60, 33);
        assert_eq!(floods.care("bob", 60), Care::AskAgain);
        floods.opened("bob");
        assert_eq!(pour(&floods, "bob", 60, 32), (32, 0, 0));
    }

    #[test]
    fn a_line_a_minute_counts_what_was_left_out() {
        let floods = Floods::default();
        let lines = |now| (0..100).filter_map(|_| floods.failed("bob", now)).collect::<Vec<_>>();
        assert_eq!(lines(60), [1]);
        assert!(lines(119).is_empty());
        assert_eq!(lines(120), [200]);
    }

    #[test]
    fn the_peers_that_are_watched_are_bounded() {
        let floods = Floods::default();
        for n in 0..5_000 {
            floods.failed(&n.to_string(), 60);
            assert!(floods.lock().len() <= MOST_PEERS);
        }
    }
}
