//! The two kinds of runs: killed at random, and at every commit.

use std::path::Path;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::error::KillError;
use crate::partner::Partner;
use crate::report::Report;
use crate::world::{End, Ended, World};

/// Texts to each phone in a life that is killed at random.
const RANDOM_TEXTS: u32 = 3;
/// So many lives may be killed until one may end in peace.
const IN_A_ROW: u32 = 5;
/// Texts to each phone in a life that is killed at a commit.
const SCRIPT_TEXTS: u32 = 1;

/// What the client does in the life that is killed at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// It enlists, uploads its keys, and meets the phones.
    First,
    /// It comes back to phones that it knows.
    Later,
}

/// Of all commit points, those from `part` on in steps of `of`: for tests that run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The first point.
    pub part: u32,
    /// The step, at least 1.
    pub of: u32,
}

impl Share {
    /// All points.
    pub const ALL: Self = Self { part: 0, of: 1 };

    /// The points, without end.
    pub fn points(self) -> impl Iterator<Item = u64> {
        (u64::from(self.part)..).step_by(usize::try_from(self.of).unwrap_or(1).max(1))
    }
}

/// Kills lives of `program` at random instants drawn from `seed`, `times` times.
///
/// # Errors
///
/// [`KillError::Violation`] if something is lost, doubled, out of order or used twice; otherwise what does not work.
pub async fn at_random(program: &Path, seed: u64, times: u32) -> Result<Report, KillError> {
    let partner = Partner::start().await?;
    let mut world = World::new(program, &partner).await?;
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    world.life(&partner, RANDOM_TEXTS, End::Orderly).await?;
    let mut report = world.check().await?;
    // A whole life in peace, again and again, is the span in which kills are drawn: it is the machine's, not the seed's.
    let mut span = peace(&mut world, &partner).await?;
    while report.kills < times {
        world.meet_others()?;
        for _ in 0..IN_A_ROW.min(times - report.kills) {
            let share = f64::from(rng.next_u32()) / f64::from(u32::MAX);
            world.life(&partner, RANDOM_TEXTS, End::Killed(span.mul_f64(share))).await?;
        }
        span = peace(&mut world, &partner).await?;
        report = world.check().await?;
    }
    world.end().await;
    Ok(report)
}

/// A life that ends well, and how long it took.
async fn peace(world: &mut World, partner: &Partner) -> Result<Duration, KillError> {
    let begun = Instant::now();
    world.life(partner, RANDOM_TEXTS, End::Orderly).await?;
    Ok(begun.elapsed())
}

/// Lets lives of `program` abort at each commit point of `script` that is in `share`, one after the other, each followed
/// by a life that ends well.
///
/// # Errors
///
/// As [`at_random`].
pub async fn at_commit_points(program: &Path, script: Script, share: Share) -> Result<Report, KillError> {
    let partner = Partner::start().await?;
    let mut report = Report::default();
    let mut world = None;
    for point in share.points() {
        let mut now = match (world.take(), script) {
            (Some(world), _) => world,
            (None, Script::First) => World::new(program, &partner).await?,
            (None, Script::Later) => {
                let mut world = World::new(program, &partner).await?;
                world.life(&partner, SCRIPT_TEXTS, End::Orderly).await?;
                world
            }
        };
        let ended = now.life(&partner, SCRIPT_TEXTS, End::Aborted(point)).await?;
        if ended == Ended::Killed {
            now.life(&partner, SCRIPT_TEXTS, End::Orderly).await?;
        }
        let seen = now.check().await?;
        match script {
            Script::First => {
                report.add(seen);
                now.end().await;
            }
            Script::Later => {
                report = seen;
                world = Some(now);
            }
        }
        if ended == Ended::Orderly {
            break;
        }
    }
    if let Some(world) = world {
        world.end().await;
    }
    Ok(report)
}
