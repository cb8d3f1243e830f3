//! Who is let in: users of an operation stay away while earlier ones wait for too long.
//!
//! Without it an application that cannot keep up would never recover, and its latency would say for
//! how long, not how badly. Requests under way divided by answers per second is how long the next
//! one will take (Little's law); that is kept within the users' patience.

use std::collections::VecDeque;

/// How long users are ready to wait.
const PATIENCE_S: f64 = 3.5;
/// Nobody stays away before somebody has waited this long.
const NOTICED_NS: u64 = 500_000_000;
/// Answers are averaged over this time.
const MEMORY_NS: f64 = 0.7e9;
/// Requests that are let in however slowly answers come.
const UNDER_WAY_MIN: f64 = 4.0;

/// The gate of one entry.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// Requests let in, oldest first: number, frame, time. Answered ones linger until they come to
    /// the front.
    entered: VecDeque<(u64, u32, u64)>,
    under_way: u64,
    answers_per_s: f64,
    answered_ns: u64,
}

impl Gate {
    /// A gate through which `rate` requests per second are expected.
    pub(super) fn new(rate: f64) -> Self {
        Self { entered: VecDeque::new(), under_way: 0, answers_per_s: rate, answered_ns: 0 }
    }

    /// Whether users stay away now. `is_under_way` says whether the frame still is that request's.
    pub(super) fn is_shunned(
        &mut self,
        now_ns: u64,
        is_under_way: impl Fn(u64, u32) -> bool,
    ) -> bool {
        while let Some((number, frame, since_ns)) = self.entered.front() {
            if is_under_way(*number, *frame) {
                let may_be_under_way = (PATIENCE_S * self.pace(now_ns)).max(UNDER_WAY_MIN);
                return now_ns - since_ns > NOTICED_NS && self.under_way as f64 >= may_be_under_way;
            }
            self.entered.pop_front();
        }
        false
    }

    pub(super) fn enter(&mut self, now_ns: u64, number: u64, frame: u32) {
        self.entered.push_back((number, frame, now_ns));
        self.under_way += 1;
    }

    pub(super) fn answer(&mut self, now_ns: u64) {
        self.answers_per_s = self.pace(now_ns) + 1e9 / MEMORY_NS;
        self.answered_ns = now_ns;
        self.under_way -= 1;
    }

    pub(super) fn under_way(&self) -> u64 {
        self.under_way
    }

    /// Answers per second of late.
    fn pace(&self, now_ns: u64) -> f64 {
        self.answers_per_s * (-((now_ns - self.answered_ns) as f64) / MEMORY_NS).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Requests under way after 20 s at 100 arrivals per second and one answer every `gap_ms`,
    /// oldest first.
    fn under_way_after(gap_ms: u64) -> usize {
        let mut gate = Gate::new(100.0);
        let (mut inside, mut next) = (VecDeque::new(), 0);
        for ms in 0..20_000 {
            if ms % gap_ms == 0 && inside.pop_front().is_some() {
                gate.answer(ms * MS);
            }
            if ms % 10 == 0 && !gate.is_shunned(ms * MS, |n, _| inside.contains(&n)) {
                gate.enter(ms * MS, next, 0);
                inside.push_back(next);
                next += 1;
            }
        }
        assert_eq!(gate.under_way(), inside.len() as u64);
        inside.len()
    }

    #[test]
    fn users_stay_away_once_answers_take_longer_than_their_patience() {
        // 40, 20 and 5 answers per second.
        assert!((115..170).contains(&under_way_after(25)), "{}", under_way_after(25));
        assert!((55..90).contains(&under_way_after(50)), "{}", under_way_after(50));
        assert!((12..30).contains(&under_way_after(200)), "{}", under_way_after(200));
        assert!(under_way_after(9) < 5);
    }

    #[test]
    fn a_burst_after_a_quiet_time_is_let_in() {
        let mut gate = Gate::new(1.0);
        for number in 0..1000 {
            assert!(!gate.is_shunned(60_000 * MS, |_, _| true));
            gate.enter(60_000 * MS, number, 0);
        }
        assert!(gate.is_shunned(61_000 * MS, |_, _| true));
    }
}
