//! Faults that the sandbox injects on purpose, so that a client meets them before it meets them in the world.
//!
//! Each fault has a name, a probability and a generator of its own that is seeded from the sandbox's seed and the name:
//! two runs with one seed make the same decisions, fault by fault, and switching one fault does not change what another
//! decides. Every decision draws the same amount, whatever the probability: with a higher one, what was injected before is
//! injected still. What is injected is in the journal ([`EventKind::FaultInjected`](crate::events::EventKind)).
//!
//! | module | what |
//! |---|---|
//! | `table` | which faults there are, and how often they come by default |
//! | `http` | those of enlistment and key set |
//! | `stanza` | what is done to stanzas |
//! | `magic` | numbers that behave in a way of their own |
//!
//! Those of the chat connection are injected where it writes (`chat::mischief`, `chat::delivery`), those of keys, test phones,
//! fetches and the clock there.

pub(crate) mod http;
mod magic;
mod report;
pub(crate) mod stanza;
mod table;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use landbridge_wire::Jid;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use thiserror::Error;

use crate::events::EventKind;
use crate::state::{State, lock};
use crate::{Calm, SandboxConfig};

pub use magic::Magic;
pub(crate) use magic::MagicNumber;
pub use report::{FaultReport, FaultState};
pub use table::{Fault, Layer, UnknownFault};

/// How many times as likely everything is in a storm.
const STORM: f64 = 10.0;
/// As a limit: as often as it comes.
const UNLIMITED: u64 = u64::MAX;

/// A value that is no probability.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("{value} is no probability from 0 to 1")]
pub struct NoProbability {
    /// The value.
    pub value: f64,
}

/// A probability, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Probability(f64);

impl Probability {
    /// Never.
    pub const NEVER: Self = Self(0.0);
    /// Always.
    pub const ALWAYS: Self = Self(1.0);

    /// # Errors
    /// [`NoProbability`] if the value is not from 0 to 1.
    pub fn new(value: f64) -> Result<Self, NoProbability> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(NoProbability { value }) }
    }

    /// The value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// The further draws of one decision: how long, where, which.
#[derive(Debug)]
pub(crate) struct Dice(StdRng);

impl Dice {
    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The remainder prefers small numbers by less than one in a billion for the ranges here.
        self.0.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// A time of at most `most`.
    pub(crate) fn up_to(&mut self, most: std::time::Duration) -> std::time::Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        std::time::Duration::from_micros(self.below(micros.saturating_add(1)))
    }
}

/// One fault's settings, count and generator.
#[derive(Debug)]
struct Lane {
    fault: Fault,
    /// Bits of an `f64`.
    probability: AtomicU64,
    /// How often it may still come.
    left: AtomicU64,
    injected: AtomicU64,
    rng: Mutex<StdRng>,
}

impl Lane {
    fn new(fault: Fault, seed: u64) -> Self {
        Self {
            fault,
            probability: AtomicU64::new(0),
            left: AtomicU64::new(UNLIMITED),
            injected: AtomicU64::new(0),
            rng: Mutex::new(generator(fault, seed)),
        }
    }

    fn probability(&self) -> f64 {
        f64::from_bits(self.probability.load(Ordering::Relaxed))
    }

    fn set(&self, probability: Probability, times: Option<u64>) {
        self.left.store(times.unwrap_or(UNLIMITED), Ordering::Relaxed);
        self.probability.store(probability.get().to_bits(), Ordering::Relaxed);
    }
}

/// A fault's generator. Neighbouring seeds have nothing in common: the name is in the seed, too, and the generator mixes.
fn generator(fault: Fault, seed: u64) -> StdRng {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(seed.to_le_bytes().iter().chain(fault.name().as_bytes())) {
        *to = *from;
    }
    StdRng::from_seed(bytes)
}

/// All faults of a sandbox.
#[derive(Debug)]
pub(crate) struct Faults {
    seed: AtomicU64,
    profile: Mutex<Calm>,
    lanes: Vec<Lane>,
    /// Whether the last connection was refused: the next one is not.
    refused: AtomicBool,
}

impl Faults {
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        let seed = config.seed.unwrap_or_else(|| u64::from(rand::rng().next_u32()));
        let faults = Self {
            seed: AtomicU64::new(seed),
            profile: Mutex::new(config.calm),
            lanes: Fault::ALL.iter().map(|fault| Lane::new(*fault, seed)).collect(),
            refused: AtomicBool::new(false),
        };
        faults.set_rates(config.calm);
        for (fault, probability) in &config.faults {
            faults.set(*fault, *probability, None);
        }
        faults
    }

    /// Whether any fault may come. Cheap: the usual answer of a calm sandbox is no.
    pub(crate) fn any(&self) -> bool {
        self.lanes.iter().any(|lane| lane.probability.load(Ordering::Relaxed) != 0)
    }

    pub(crate) fn may(&self, fault: Fault) -> bool {
        self.lane(fault).is_some_and(|lane| lane.probability() > 0.0)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed.load(Ordering::Relaxed)
    }

    fn lane(&self, fault: Fault) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.fault == fault)
    }

    fn set_rates(&self, profile: Calm) {
        for lane in &self.lanes {
            let rate = lane.fault.rate();
            let probability = match profile {
                Calm::Calm => 0.0,
                Calm::Faults => rate,
                Calm::Storm => (rate * STORM).min(1.0),
            };
            lane.set(Probability(probability), None);
        }
    }

    /// Sets one fault; `times`: so often at most, then never again.
    pub(crate) fn set(&self, fault: Fault, probability: Probability, times: Option<u64>) {
        if let Some(lane) = self.lane(fault) {
            lane.set(probability, times);
        }
    }

    /// Sets all faults. A seed begins all decisions anew.
    pub(crate) fn set_profile(&self, profile: Option<Calm>, seed: Option<u64>) {
        if let Some(seed) = seed {
            self.seed.store(seed, Ordering::Relaxed);
            for lane in &self.lanes {
                *lock(&lane.rng) = generator(lane.fault, seed);
                lane.injected.store(0, Ordering::Relaxed);
            }
        }
        if let Some(profile) = profile {
            *lock(&self.profile) = profile;
            self.set_rates(profile);
        }
    }

    /// Decides whether a fault comes now. Who gets dice must inject it and say so.
    pub(crate) fn roll(&self, fault: Fault) -> Option<Dice> {
        let lane = self.lane(fault)?;
        let probability = lane.probability();
        if probability <= 0.0 {
            return None;
        }
        let (decision, further) = {
            let mut rng = lock(&lane.rng);
            (rng.next_u64(), rng.next_u64())
        };
        // 53 bits, as many as an f64 has.
        let drawn = (decision >> 11) as f64 / (1_u64 << 53) as f64;
        if drawn >= probability {
            return None;
        }
        let allowed = lane.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
            UNLIMITED => Some(UNLIMITED),
            left => left.checked_sub(1),
        });
        allowed.ok()?;
        lane.injected.fetch_add(1, Ordering::Relaxed);
        Some(Dice(StdRng::seed_from_u64(further)))
    }

    /// Whether a connection is to be refused: never two in a row, so that trying again helps.
    pub(crate) fn refuses(&self) -> bool {
        if self.refused.swap(false, Ordering::Relaxed) {
            return false;
        }
        let refuses = self.roll(Fault::HandshakeRefused).is_some();
        self.refused.store(refuses, Ordering::Relaxed);
        refuses
    }
}

impl State {
    /// Writes an injected fault to the journal.
    pub(crate) fn injected(
        &self,
        fault: Fault,
        connection: Option<u64>,
        user: Option<&Jid>,
        id: Option<&str>,
        detail: impl Into<String>,
    ) {
        let kind = EventKind::FaultInjected {
            fault: fault.name(),
            id: id.map(str::to_owned),
            detail: detail.into(),
        };
        self.note(connection, user, kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(faults: &Faults, fault: Fault) -> Vec<bool> {
        (0..2_000).map(|_| faults.roll(fault).is_some()).collect()
    }

    fn seeded(seed: u64, calm: Calm) -> Faults {
        Faults::new(&SandboxConfig { seed: Some(seed), calm, ..SandboxConfig::default() })
    }

    #[test]
    fn a_seed_decides_and_faults_do_not_meddle() {
        let (one, other) = (seeded(7, Calm::Storm), seeded(7, Calm::Storm));
        // The other one decides about something else in between.
        decisions(&other, Fault::IqLate);
        let decided = decisions(&one, Fault::AckLate);
        assert_eq!(decisions(&other, Fault::AckLate), decided);
        assert_ne!(decisions(&seeded(8, Calm::Storm), Fault::AckLate), decided);
        one.set_profile(None, Some(7));
        assert_eq!(decisions(&one, Fault::AckLate), decided);
        let share = decided.iter().filter(|decided| **decided).count();
        assert!((500..700).contains(&share), "{share} of 2,000 at 30 %");
    }

    #[test]
    fn what_comes_at_a_low_rate_comes_at_a_high_one_too() {
        let low = decisions(&seeded(7, Calm::Faults), Fault::AckLate);
        let high = decisions(&seeded(7, Calm::Storm), Fault::AckLate);
        assert!(low.contains(&true));
        assert!(low.iter().zip(&high).all(|(low, high)| high | !low));
    }

    #[test]
    fn calm_is_calm_limits_hold_and_overrides_count() {
        let faults = seeded(7, Calm::Calm);
        assert!(!faults.any());
        assert!(Fault::ALL.iter().all(|fault| faults.roll(*fault).is_none()));
        faults.set(Fault::TcpSplit, Probability::ALWAYS, Some(3));
        assert_eq!(decisions(&faults, Fault::TcpSplit).iter().filter(|decided| **decided).count(), 3);
        let report = faults.report();
        let split = report.faults.iter().find(|fault| fault.name == "tcp-split").unwrap();
        assert_eq!((split.injected, split.left), (3, Some(0)));
        faults.set_profile(Some(Calm::Storm), None);
        assert!(
            faults.report().faults.iter().all(|fault| fault.probability == (fault.default * 10.0).min(1.0))
        );
        let overridden = Faults::new(&SandboxConfig {
            calm: Calm::Storm,
            faults: vec![(Fault::TcpSplit, Probability::NEVER)],
            ..SandboxConfig::default()
        });
        assert!(!overridden.may(Fault::TcpSplit) && overridden.may(Fault::TcpReset));
        assert!(Probability::new(1.5).is_err() && Probability::new(f64::NAN).is_err());
    }
}
