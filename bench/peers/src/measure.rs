//! Measuring operations in turn.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::counting::memory;

/// How long one batch of one contender takes, at least.
const BATCH: Duration = Duration::from_micros(1500);

/// The time that this thread has had on a processor: while others have it, it stands still.
fn thread_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// One way to do an operation.
pub struct Contender<'a> {
    name: &'static str,
    /// What one call of `work` needs; not timed.
    prepare: Box<dyn FnMut() + 'a>,
    work: Box<dyn FnMut() + 'a>,
    /// How many operations one call of `work` does.
    operations: u32,
}

impl<'a> Contender<'a> {
    pub fn new(name: &'static str, work: impl FnMut() + 'a) -> Self {
        Self { name, prepare: Box::new(|| {}), work: Box::new(work), operations: 1 }
    }

    /// One whose calls do many operations each, on what is prepared before every call.
    pub fn prepared<S: 'a>(
        name: &'static str,
        operations: u32,
        state: &'a std::cell::RefCell<S>,
        mut prepare: impl FnMut(&mut S) + 'a,
        mut work: impl FnMut(&mut S) + 'a,
    ) -> Self {
        Self {
            name,
            prepare: Box::new(move || prepare(&mut state.borrow_mut())),
            work: Box::new(move || work(&mut state.borrow_mut())),
            operations,
        }
    }

    /// Nanoseconds per operation.
    fn batch(&mut self, calls: u32) -> f64 {
        let mut spent = Duration::ZERO;
        if self.operations > 1 {
            for _ in 0..calls {
                (self.prepare)();
                let start = thread_time();
                (self.work)();
                spent += thread_time() - start;
            }
        } else {
            let start = thread_time();
            for _ in 0..calls {
                (self.work)();
            }
            spent = thread_time() - start;
        }
        spent.as_nanos() as f64 / f64::from(calls) / f64::from(self.operations)
    }

    /// How many calls fill a batch; warms up, too.
    fn calibrate(&mut self) -> u32 {
        let mut calls = 1;
        while calls < 1 << 24 {
            let nanoseconds = self.batch(calls) * f64::from(self.operations) * f64::from(calls);
            if nanoseconds >= BATCH.as_nanos() as f64 {
                break;
            }
            calls *= 2;
        }
        calls
    }
}

/// What one contender's operation costs.
pub struct Figure {
    pub part: &'static str,
    pub case: String,
    pub contender: &'static str,
    /// Median time of one operation.
    pub nanoseconds: f64,
    /// How many times as long as the first contender's: the median of the ratios of neighbouring batches.
    pub ratio: f64,
    pub allocations: f64,
}

impl Figure {
    pub fn json(&self) -> serde_json::Value {
        let Self { part, case, contender, nanoseconds, ratio, allocations } = self;
        serde_json::json!({
            "part": part,
            "case": case,
            "contender": contender,
            "nanoseconds": nanoseconds,
            "ratio": ratio,
            "allocations": allocations,
        })
    }
}

/// Something that was counted rather than timed.
pub struct Fact {
    pub part: &'static str,
    pub case: &'static str,
    pub contender: &'static str,
    pub value: f64,
    pub unit: &'static str,
}

impl Fact {
    pub fn json(&self) -> serde_json::Value {
        let Self { part, case, contender, value, unit } = self;
        serde_json::json!({ "part": part, "case": case, "contender": contender, "value": value, "unit": unit })
    }
}

/// What a part found out.
#[derive(Default)]
pub struct Report {
    pub figures: Vec<Figure>,
    pub facts: Vec<Fact>,
}

/// Runs all contenders in batches, one behind the other, and puts each beside the first.
pub fn measure(
    part: &'static str,
    case: impl Into<String>,
    rounds: usize,
    mut contenders: Vec<Contender<'_>>,
) -> Vec<Figure> {
    let case = case.into();
    let calls: Vec<u32> = contenders.iter_mut().map(Contender::calibrate).collect();
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        // Whoever comes first changes with every round.
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            times[index].push(contenders[index].batch(calls[index]));
        }
    }
    let ratios =
        |times: &[f64], first: &[f64]| median(times.iter().zip(first).map(|(time, first)| time / first));
    let first = times[0].clone();
    contenders
        .iter_mut()
        .zip(&times)
        .map(|(contender, times)| {
            (contender.prepare)();
            Figure {
                part,
                case: case.clone(),
                contender: contender.name,
                nanoseconds: median(times.iter().copied()),
                ratio: ratios(times, &first),
                allocations: memory(|| (contender.work)()).allocations as f64
                    / f64::from(contender.operations),
            }
        })
        .collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
