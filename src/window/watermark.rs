//! How far event time has come.
//!
//! The watermark is the newest event time seen less the allowed lateness, where "newest" leaves out
//! the one in ten senders that are furthest ahead: a host whose clock runs an hour fast must not
//! make everybody else late.

use std::time::Duration;

use crate::data::Name;
use crate::hash::HashMap;

/// Senders remembered. Beyond it new ones do not vote.
const SENDERS_MAX: usize = 4096;
/// One in this many senders may be ahead without being believed.
const OUTLIERS: usize = 10;
/// Senders silent for this long by the wall clock no longer vote: a dead one must not hold us up.
const VOTE_FOR: Duration = Duration::from_secs(60);

/// Tracks the newest event time of every sender.
#[derive(Debug)]
pub(super) struct Watermark {
    lateness_ms: i64,
    /// Newest event time of each sender, and when it was last heard of by the wall clock.
    heads: HashMap<Name, (i64, Duration)>,
    head: Option<i64>,
}

impl Watermark {
    pub(super) fn new(lateness_ms: i64) -> Self {
        Self { lateness_ms, heads: HashMap::default(), head: None }
    }

    /// `sender` has sent an event of time `t_ms`; `now` is the wall clock since any fixed moment.
    pub(super) fn observe(&mut self, sender: &Name, t_ms: i64, now: Duration) {
        if let Some((head, heard)) = self.heads.get_mut(sender) {
            *head = (*head).max(t_ms);
            *heard = now;
        } else if self.heads.len() < SENDERS_MAX {
            self.heads.insert(sender.clone(), (t_ms, now));
        }
    }

    /// The watermark after what was observed; never moves back.
    pub(super) fn advance(&mut self, now: Duration) -> Option<i64> {
        self.heads.retain(|_, (_, heard)| now.saturating_sub(*heard) <= VOTE_FOR);
        let mut newest: Vec<i64> = self.heads.values().map(|(t, _)| *t).collect();
        if newest.is_empty() {
            return self.current();
        }
        newest.sort_unstable_by(|a, b| b.cmp(a));
        // Of two nobody can say which is wrong; the newest counts, so that time goes on.
        let spared = if newest.len() <= 2 { 0 } else { 1 + newest.len() / OUTLIERS };
        let candidate = newest[spared];
        let head = self.head.map_or(candidate, |h| h.max(candidate));
        self.head = Some(head);
        self.current()
    }

    /// The watermark as of the last [`Watermark::advance`].
    pub(super) fn current(&self) -> Option<i64> {
        self.head.map(|h| h.saturating_sub(self.lateness_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn after(events: &[(&str, i64)]) -> Option<i64> {
        let mut w = Watermark::new(10);
        for (sender, t) in events {
            w.observe(&(*sender).into(), *t, NOW);
        }
        w.advance(NOW)
    }

    #[test]
    fn one_sender_alone_is_believed() {
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[("a", 100), ("a", 50)]), Some(90));
    }

    #[test]
    fn one_that_stays_in_another_century_holds_nobody_up() {
        assert_eq!(after(&[("broken", 5), ("a", 5_000_000)]), Some(4_999_990));
        assert_eq!(after(&[("broken", 5), ("a", 5_000_000), ("b", 5_000_001)]), Some(4_999_990));
    }

    #[test]
    fn a_clock_far_ahead_does_not_move_the_others() {
        assert_eq!(after(&[("a", 100), ("b", 101), ("fast", 1_000_000)]), Some(91));
    }

    #[test]
    fn when_all_move_on_the_watermark_moves_on_and_never_back() {
        let mut w = Watermark::new(10);
        for (t, want) in [(100, 90), (5_000_000, 4_999_990), (7, 4_999_990)] {
            for sender in ["a", "b", "c"] {
                w.observe(&sender.into(), t, NOW);
            }
            assert_eq!(w.advance(NOW), Some(want));
        }
    }

    #[test]
    fn a_sender_that_died_holds_nobody_up_for_long() {
        let mut w = Watermark::new(10);
        for dead in ["x", "y", "z"] {
            w.observe(&dead.into(), 100, NOW);
        }
        for (minute, want) in [(0, 90), (1, 3_640), (2, 7_190)] {
            let now = Duration::from_secs(61 * minute);
            w.observe(&"alive".into(), 100 + 3_550 * minute as i64, now);
            assert_eq!(w.advance(now), Some(want), "after {minute} minutes");
        }
    }
}
