//! The board's decisions, minute by minute.

use landbridge_stanza::profile::PushProfile;
use proptest::prelude::*;

use super::board::*;
use super::lane::Breaker;
use super::rules::Rules;
use super::*;

const START: u64 = 1_800_000_000_000;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

/// A board and its time.
struct World {
    board: Board,
    now: u64,
}

fn to(number: i64) -> Recipient {
    let user = UserId::of(number);
    let jid = Jid::interop(1, number);
    Recipient { user, jid, integrator: 1, identifier: format!("user{number}") }
}

fn last() -> LastPush {
    LastPush { t: 0, status: Some(200), outcome: "as told".to_owned() }
}

fn taken() -> Ended {
    Ended::Answered(last())
}

fn failed() -> Ended {
    Ended::Failed { last: last(), retry_after_s: None }
}

fn failed_until(after: u64) -> Ended {
    Ended::Failed { last: last(), retry_after_s: Some(after) }
}

impl World {
    fn new() -> Self {
        Self { board: Board::new(Rules::new(&PushProfile::default()), 7), now: START }
    }

    fn news(&mut self, number: i64) {
        self.board.news(to(number), self.now);
    }

    fn ended(&mut self, number: i64, ended: Ended) -> After {
        self.board.ended(&to(number), false, ended, self.now)
    }

    /// Lets time pass until something is due, and gives what and after how many milliseconds; `None` if nothing ever is.
    fn next(&mut self) -> Option<(Job, u64)> {
        let at = self.board.next_at()?.max(self.now);
        if at > self.now {
            assert_eq!(self.board.take(at - 1), [], "too early");
        }
        let waited = at - self.now;
        self.now = at;
        let mut jobs = self.board.take(at);
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        Some((jobs.remove(0), waited))
    }

    /// The next push is for this reason, try and time.
    #[track_caller]
    fn expect(&mut self, why: PushReason, attempt: u32, wait: std::ops::RangeInclusive<u64>) {
        let (job, waited) = self.next().expect("something is due");
        let Job::Planned { why: for_this, attempt: tried, .. } = job else { panic!("{job:?}") };
        assert_eq!((for_this, tried), (why, attempt));
        assert!(wait.contains(&waited), "after {waited} ms");
    }

    #[track_caller]
    fn expect_nothing(&mut self) {
        assert_eq!(self.next(), None);
    }
}

#[test]
fn the_first_goes_at_once_and_the_next_after_half_a_minute() {
    let mut world = World::new();
    world.news(1);
    world.expect(PushReason::Activity, 1, 0..=0);
    world.ended(1, taken());
    for _ in 0..3 {
        world.now += SECOND;
        world.news(1);
    }
    world.expect(PushReason::Activity, 1, 27 * SECOND..=27 * SECOND);
    // What comes while a push is under way is not in it for sure.
    world.now += SECOND;
    world.news(1);
    world.ended(1, taken());
    world.expect(PushReason::Activity, 1, 29 * SECOND..=29 * SECOND);
}

#[test]
fn while_mail_waits_it_comes_again_three_times() {
    let mut world = World::new();
    world.news(1);
    world.expect(PushReason::Activity, 1, 0..=0);
    world.ended(1, taken());
    for wait in [HOUR, 5 * HOUR, 18 * HOUR] {
        world.expect(PushReason::Reminder, 1, wait..=wait);
        world.ended(1, taken());
    }
    world.expect_nothing();
    // New activity begins anew, but for the pace.
    world.news(1);
    world.expect(PushReason::Activity, 1, 30 * SECOND..=30 * SECOND);
    world.ended(1, taken());
    world.expect(PushReason::Reminder, 1, HOUR..=HOUR);
    // Nobody needs it: the mail is gone.
    world.ended(1, Ended::Needless);
    world.expect_nothing();
}

#[test]
fn a_leap_of_the_clock_makes_up_for_nothing() {
    let mut world = World::new();
    world.news(1);
    world.expect(PushReason::Activity, 1, 0..=0);
    world.ended(1, taken());
    world.now += 10 * HOUR;
    world.expect(PushReason::Reminder, 1, 0..=0);
    world.ended(1, taken());
    world.expect(PushReason::Reminder, 1, 14 * HOUR..=14 * HOUR);
}

#[test]
fn who_connects_is_left_alone_and_what_comes_meanwhile_waits_for_the_end() {
    let mut world = World::new();
    world.news(1);
    world.board.came(to(1).user, world.now);
    world.expect_nothing();
    world.now += SECOND;
    world.board.went(to(1).user, world.now);
    world.expect_nothing();
    // Connected while a push is under way, with mail that nobody takes.
    world.news(1);
    world.expect(PushReason::Activity, 1, 0..=0);
    world.board.came(to(1).user, world.now);
    world.news(1);
    world.ended(1, failed());
    world.expect_nothing();
    world.board.went(to(1).user, world.now + SECOND);
    world.now += SECOND;
    world.expect(PushReason::Activity, 1, 29 * SECOND..=29 * SECOND);
    // Who leaves before the exchange is over is not pushed for twice at a time.
    world.board.came(to(1).user, world.now);
    world.news(1);
    world.board.went(to(1).user, world.now);
    world.expect_nothing();
    world.ended(1, taken());
    world.expect(PushReason::Activity, 1, 30 * SECOND..=30 * SECOND);
}

#[test]
fn failures_are_tried_again_for_a_quarter_of_an_hour() {
    let mut world = World::new();
    world.news(1);
    world.expect(PushReason::Activity, 1, 0..=0);
    let begun = world.now;
    let mut tries = 1;
    let gave_up = loop {
        let after = world.ended(1, failed());
        if let Some(gave_up) = after.gave_up {
            break gave_up;
        }
        let middle = [1, 2, 4, 8, 16, 32].get(tries as usize - 1).copied().unwrap_or(60) * SECOND;
        tries += 1;
        world.expect(PushReason::Activity, tries, middle * 4 / 5..=middle * 6 / 5);
    };
    assert_eq!(gave_up, tries);
    assert!((17..=22).contains(&tries), "{tries} tries");
    assert!(world.now - begun <= 900 * SECOND && world.now - begun > 820 * SECOND);
    // Mail that waits is not forgotten for it.
    let wait = HOUR - (world.now - begun);
    world.expect(PushReason::Reminder, 1, wait..=wait);
    // And is not tried less for being a reminder.
    world.ended(1, failed());
    world.expect(PushReason::Reminder, 2, 800..=1_200);
}

#[test]
fn news_gives_a_failing_push_its_full_time_again() {
    let mut world = World::new();
    world.news(1);
    world.expect(PushReason::Activity, 1, 0..=0);
    world.ended(1, failed_until(800));
    world.now += 700 * SECOND;
    world.news(1);
    world.expect(PushReason::Activity, 2, 100 * SECOND..=100 * SECOND);
    assert_eq!(world.ended(1, failed_until(800)).gave_up, None);
    world.expect(PushReason::Activity, 3, 800 * SECOND..=800 * SECOND);
    assert_eq!(world.ended(1, failed_until(800)).gave_up, Some(3));
}

#[test]
fn retry_after_is_waited_for_and_a_longer_one_ends_it() {
    let mut world = World::new();
    world.news(1);
    world.expect(PushReason::Activity, 1, 0..=0);
    assert_eq!(world.ended(1, failed_until(100)).gave_up, None);
    world.expect(PushReason::Activity, 2, 100 * SECOND..=100 * SECOND);
    assert_eq!(world.ended(1, failed_until(5_000)).gave_up, Some(2));
}

#[test]
fn by_hand_it_goes_at_once_whatever_else_is_planned() {
    let mut world = World::new();
    world.board.came(to(1).user, world.now);
    world.board.ask(to(1), world.now);
    world.expect(PushReason::ByHand, 1, 0..=0);
    world.board.ask(to(1), world.now);
    world.ended(1, taken());
    world.expect(PushReason::ByHand, 1, 0..=0);
    world.ended(1, taken());
    world.expect_nothing();
    world.board.went(to(1).user, world.now);
    world.expect_nothing();
}

#[test]
fn fifty_failures_in_a_row_leave_probes_alone() {
    let mut world = World::new();
    for number in 0..60 {
        world.news(number);
    }
    let jobs = world.board.take(world.now);
    assert_eq!(jobs.len(), 60);
    for number in 0..50 {
        let after = world.ended(number, failed());
        assert_eq!(after.breaker, (number == 49).then_some(Breaker::Opened), "{number}");
    }
    // Those that were under way end as they may.
    for number in 50..60 {
        assert_eq!(world.ended(number, failed()).breaker, None);
    }
    for _ in 0..5 {
        let (job, waited) = world.next().unwrap();
        assert_eq!(waited, 30 * SECOND);
        let Job::Planned { to, probe: true, .. } = job else { panic!("{job:?}") };
        assert_eq!((world.board.next_at(), world.board.take(world.now)), (None, vec![]));
        assert_eq!(world.board.ended(&to, true, failed(), world.now).breaker, None);
    }
    assert_eq!(world.board.report().partners[0].failures, 65);
    let (job, _) = world.next().unwrap();
    let Job::Planned { to, .. } = job else { panic!("{job:?}") };
    assert_eq!(world.board.ended(&to, true, taken(), world.now).breaker, Some(Breaker::Closed));
    // Everything else goes now: it has been due for long.
    assert_eq!(world.board.take(world.now).len(), 59);
}

#[test]
fn one_at_a_time_for_a_user_and_sixty_four_for_a_partner() {
    let mut world = World::new();
    for number in 0..200 {
        world.news(number);
        world.news(number);
    }
    let jobs = world.board.take(world.now);
    assert_eq!((jobs.len(), world.board.next_at()), (64, None));
    let Some(Job::Planned { to: first, .. }) = jobs.first() else { panic!() };
    world.board.ended(first, false, taken(), world.now);
    assert_eq!(world.board.take(world.now).len(), 1);
    // Another partner does not wait for this one.
    world.board.news(Recipient { integrator: 2, ..to(900) }, world.now);
    assert_eq!(world.board.take(world.now).len(), 1);
}

#[test]
fn an_account_that_is_gone_owes_nothing_and_holds_no_room() {
    let mut world = World::new();
    world.news(1);
    world.board.forget(to(1).user);
    world.expect_nothing();
    for _ in 0..200 {
        world.news(1);
        assert_eq!(world.board.take(world.now).len(), 1);
        world.board.forget(to(1).user);
        world.ended(1, taken());
    }
    world.expect_nothing();
    assert_eq!(world.board.report().pushes, []);
}

#[test]
fn a_clock_that_is_set_back_changes_no_wait() {
    let mut world = World::new();
    world.news(1);
    world.expect(PushReason::Activity, 1, 0..=0);
    world.ended(1, failed_until(100));
    world.now -= HOUR;
    assert_eq!(world.board.take(world.now), []);
    world.expect(PushReason::Activity, 2, 100 * SECOND..=100 * SECOND);
    world.ended(1, taken());
    world.now -= HOUR;
    assert_eq!(world.board.take(world.now), []);
    world.expect(PushReason::Reminder, 1, HOUR - 100 * SECOND..=HOUR - 100 * SECOND);
}

#[test]
fn a_seed_decides_the_jitter() {
    let waits = |seed| {
        let mut world = World { board: Board::new(Rules::new(&PushProfile::default()), seed), now: START };
        world.news(1);
        let mut waits = Vec::new();
        while let Some((_, waited)) = world.next() {
            waits.push(waited);
            if world.ended(1, failed()).gave_up.is_some() {
                break;
            }
        }
        waits
    };
    assert_eq!(waits(7), waits(7));
    assert_ne!(waits(7), waits(8));
}

#[derive(Debug, Clone)]
enum Step {
    News(i64),
    Came(i64),
    Went(i64),
    Ask(i64),
    Forget(i64),
    Pass(u64),
    Back(u64),
    End(usize, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let user = 0..4_i64;
    let step = prop_oneof![
        4 => user.clone().prop_map(Step::News),
        2 => user.clone().prop_map(Step::Came),
        2 => user.clone().prop_map(Step::Went),
        1 => user.clone().prop_map(Step::Ask),
        1 => user.prop_map(Step::Forget),
        4 => (0..2 * HOUR).prop_map(Step::Pass),
        1 => (0..2 * HOUR).prop_map(Step::Back),
        8 => (0..8_usize, 0..3_u8).prop_map(|(which, how)| Step::End(which, how)),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    /// Whatever happens in whatever order: never two at a time for a user, none for who is connected but by hand, the
    /// queue and the plans agree, and in the end nothing holds room.
    #[test]
    fn whatever_happens(steps in steps()) {
        let mut world = World::new();
        let mut running: Vec<(Recipient, bool)> = Vec::new();
        let mut connected = std::collections::HashSet::new();
        for step in steps {
            match step {
                Step::News(n) => world.news(n),
                Step::Came(n) => {
                    connected.insert(to(n).user);
                    world.board.came(to(n).user, world.now);
                }
                Step::Went(n) => {
                    connected.remove(&to(n).user);
                    world.board.went(to(n).user, world.now);
                }
                Step::Ask(n) => world.board.ask(to(n), world.now),
                Step::Forget(n) => {
                    // An account comes back under another id; here the end of its last exchange comes first.
                    if running.iter().all(|(running, _)| running.user != to(n).user) {
                        connected.remove(&to(n).user);
                        world.board.forget(to(n).user);
                    }
                }
                Step::Pass(by) => world.now += by,
                Step::Back(by) => world.now -= by,
                Step::End(which, how) if !running.is_empty() => {
                    let (who, probe) = running.remove(which % running.len());
                    let ended = [taken(), failed(), Ended::Needless][usize::from(how)].clone();
                    world.board.ended(&who, probe, ended, world.now);
                }
                Step::End(..) => {}
            }
            for job in world.board.take(world.now) {
                let Job::Planned { to, why, probe, .. } = job else { unreachable!() };
                prop_assert!(running.iter().all(|(running, _)| running.user != to.user), "two at a time");
                prop_assert!(why == PushReason::ByHand || !connected.contains(&to.user), "{why:?} for who is here");
                running.push(((*to).clone(), probe));
            }
            // What is due has gone.
            if let Some(at) = world.board.next_at() {
                prop_assert!(at > world.now);
            }
        }
        for (who, probe) in running {
            world.board.ended(&who, probe, taken(), world.now);
        }
        for n in 0..4 {
            world.board.forget(to(n).user);
        }
        prop_assert_eq!(world.board.next_at(), None);
        prop_assert_eq!(world.board.report().pushes.len(), 0);
    }
}
