//! Measuring two operations in turn.

use std::time::{Duration, Instant};

use crate::counting::allocations;

/// How long one batch of one operation takes, about.
const BATCH: Duration = Duration::from_micros(1500);

/// What one operation costs.
pub struct Cost {
    /// Median time in nanoseconds.
    pub nanoseconds: f64,
    pub allocations: f64,
}

/// Two operations side by side.
pub struct Figure {
    pub input: String,
    pub operation: &'static str,
    pub ours: Cost,
    pub peer: Cost,
    /// How many times faster ours is: the median of the ratios of neighbouring batches.
    pub ratio: f64,
}

impl Figure {
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "input": self.input,
            "operation": self.operation,
            "ours_ns": self.ours.nanoseconds,
            "peer_ns": self.peer.nanoseconds,
            "ratio": self.ratio,
            "ours_allocations": self.ours.allocations,
            "peer_allocations": self.peer.allocations,
        })
    }
}

/// Runs both operations in batches, one behind the other.
pub fn measure(
    input: &str,
    operation: &'static str,
    rounds: usize,
    mut ours: impl FnMut(),
    mut peer: impl FnMut(),
) -> Figure {
    let (our_count, peer_count) = (calibrate(&mut ours), calibrate(&mut peer));
    let mut times: Vec<(f64, f64)> = Vec::with_capacity(rounds);
    for round in 0..rounds {
        // Whoever comes first changes with every round.
        if round % 2 == 0 {
            let one = batch(our_count, &mut ours);
            times.push((one, batch(peer_count, &mut peer)));
        } else {
            let other = batch(peer_count, &mut peer);
            times.push((batch(our_count, &mut ours), other));
        }
    }
    let cost = |nanoseconds, allocations| Cost { nanoseconds, allocations };
    Figure {
        input: input.to_owned(),
        operation,
        ours: cost(median(times.iter().map(|(ours, _)| *ours)), allocations(&mut ours) as f64),
        peer: cost(median(times.iter().map(|(_, peer)| *peer)), allocations(&mut peer) as f64),
        ratio: median(times.iter().map(|(ours, peer)| peer / ours)),
    }
}

/// How many operations fill a batch; warms up, too.
fn calibrate(work: &mut impl FnMut()) -> u32 {
    let mut count = 1;
    loop {
        let start = Instant::now();
        for _ in 0..count {
            work();
        }
        if start.elapsed() >= BATCH || count >= 1 << 24 {
            return count;
        }
        count *= 2;
    }
}

/// Nanoseconds per operation.
fn batch(count: u32, work: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
