//! What an answer means, and how long to wait after a failure. Times are milliseconds.

use landbridge_stanza::profile::PushProfile;

/// The rules, in milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Least time between two pushes for one user.
    pub(super) every: u64,
    /// When a push comes again while mail waits, counted from the one for the activity.
    pub(super) again: Vec<u64>,
    retry_first: u64,
    retry_max: u64,
    jitter_percent: u64,
    retry_after_max: u64,
    /// No more tries after this time from the first one.
    pub(super) give_up: u64,
    /// Failures in a row that open the breaker.
    pub(super) breaker_failures: u32,
    /// Time between two probes.
    pub(super) probe: u64,
    /// Requests to one partner at a time.
    pub(super) per_partner: usize,
}

const fn millis(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000)
}

impl Rules {
    pub(super) fn new(profile: &PushProfile) -> Self {
        Self {
            every: millis(profile.every_s),
            again: profile.again_s.iter().map(|after| millis(*after)).collect(),
            retry_first: millis(profile.retry_first_s),
            retry_max: millis(profile.retry_max_s),
            jitter_percent: profile.retry_jitter_percent.min(100),
            retry_after_max: millis(profile.retry_after_max_s),
            give_up: millis(profile.give_up_s),
            breaker_failures: profile.breaker_failures,
            probe: millis(profile.breaker_probe_s),
            per_partner: profile.per_partner,
        }
    }

    /// How long to wait after failure number `failures`, from 1. `Retry-After`, in seconds, is obeyed to the letter; else
    /// the wait doubles, and `draw` moves it within the jitter.
    pub(super) fn wait(&self, failures: u32, retry_after_s: Option<u64>, draw: u64) -> u64 {
        if let Some(after) = retry_after_s {
            return millis(after).min(self.retry_after_max);
        }
        let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
        let wait = self.retry_first.saturating_mul(doubled).min(self.retry_max);
        let most = wait.saturating_mul(self.jitter_percent) / 100;
        // From `wait - most` to `wait + most`.
        let drawn = draw.checked_rem(most.saturating_mul(2).saturating_add(1)).unwrap_or(most);
        wait.saturating_sub(most).saturating_add(drawn)
    }
}

/// What a status means to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 200: done.
    Done,
    /// Another 2xx: done, and worth a remark.
    DoneOddly,
    /// 401: the bearer was not believed.
    Unauthorized,
    /// 3xx: nobody goes there.
    Redirected,
    /// 4xx: the same push would be refused again.
    Refused,
    /// 408, 425, 429, 5xx: later, perhaps.
    Later,
}

impl Verdict {
    pub(super) const fn of(status: u16) -> Self {
        match status {
            200 => Self::Done,
            201..=299 => Self::DoneOddly,
            300..=399 => Self::Redirected,
            401 => Self::Unauthorized,
            408 | 425 | 429 => Self::Later,
            400..=499 => Self::Refused,
            _ => Self::Later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules::new(&PushProfile::default())
    }

    #[test]
    fn waits_double_up_to_a_minute_and_jitter_stays_within_a_fifth() {
        let rules = rules();
        for (failures, expected) in
            [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (200, 60)]
        {
            let expected = expected * 1_000;
            let (least, most) = (expected - expected / 5, expected + expected / 5);
            let mut seen = (u64::MAX, 0);
            for draw in (0..u64::MAX - 50_000).step_by(usize::try_from(u64::MAX / 5_000).unwrap()) {
                let wait = rules.wait(failures, None, draw);
                assert!((least..=most).contains(&wait), "{failures}: {wait}");
                seen = (seen.0.min(wait), seen.1.max(wait));
            }
            assert!(seen.1 - seen.0 > expected / 3, "{failures}: {seen:?} is hardly any jitter");
            let spread = most - least;
            assert_eq!((rules.wait(failures, None, 0), rules.wait(failures, None, spread)), (least, most));
        }
    }

    #[test]
    fn retry_after_is_obeyed_up_to_a_quarter_of_an_hour() {
        let rules = rules();
        for (said, waited) in
            [(0, 0), (1, 1_000), (120, 120_000), (900, 900_000), (901, 900_000), (u64::MAX, 900_000)]
        {
            assert_eq!(rules.wait(3, Some(said), 7), waited, "{said}");
        }
    }

    #[test]
    fn every_status_has_one_meaning() {
        for status in 200..600 {
            let expected = match status {
                200 => Verdict::Done,
                201..=299 => Verdict::DoneOddly,
                300..=399 => Verdict::Redirected,
                401 => Verdict::Unauthorized,
                408 | 425 | 429 | 500.. => Verdict::Later,
                _ => Verdict::Refused,
            };
            assert_eq!(Verdict::of(status), expected, "{status}");
        }
    }

    #[test]
    fn odd_settings_do_no_harm() {
        let odd =
            PushProfile { retry_jitter_percent: 1_000, retry_first_s: u64::MAX, ..PushProfile::default() };
        let rules = Rules::new(&odd);
        assert!(rules.wait(u32::MAX, None, u64::MAX) <= 120_000);
        let none = Rules::new(&PushProfile { retry_max_s: 0, ..odd });
        assert_eq!(none.wait(1, None, 77), 0);
    }
}
