//! Request and response delay of an RPC although the two hosts' clocks differ.
//!
//! Both durations are free of skew, so request + response delay = client - server duration holds
//! whatever the clocks say; skew only blurs how the sum splits. As NTP does, the fastest request
//! and the fastest response between two hosts are taken to be equally fast, and the offset is the
//! median over the last intervals, so that a link that turns slow in one direction is not mistaken
//! for a clock that jumped.

use std::collections::VecDeque;

use super::names::Id;
use crate::hash::HashMap;

/// Offsets remembered per pair of hosts, one an interval.
const REMEMBERED: usize = 9;

/// A caller's and a callee's host (or replica, when hosts are unknown).
pub(super) type HostPair = (Id, Id);

/// Delays by the clocks: server start - client start, client end - server end. May be negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RawDelays {
    pub(super) request_ns: i64,
    pub(super) response_ns: i64,
}

impl RawDelays {
    /// Whether the callee took longer than its caller waited.
    pub(super) fn is_given_up(self) -> bool {
        self.request_ns.saturating_add(self.response_ns) < 0
    }

    /// Time until the callee took the request up, nanoseconds, when its clock is ahead by `offset_ns`.
    pub(super) fn taken_up_after(self, offset_ns: i64) -> u64 {
        self.request_ns.saturating_sub(offset_ns).max(0).unsigned_abs()
    }

    /// Splits the true sum after moving the callee's clock by `offset_ns`: (request, response).
    pub(super) fn split(self, offset_ns: i64) -> (u64, u64) {
        let sum = self.request_ns.saturating_add(self.response_ns).max(0);
        let request = self.request_ns.saturating_sub(offset_ns).clamp(0, sum);
        (request.unsigned_abs(), (sum - request).unsigned_abs())
    }
}

/// What is known about the clocks of pairs of hosts.
#[derive(Debug)]
pub(super) struct Skews {
    /// Pairs of hosts remembered. Beyond it the split is taken from the clocks as they are.
    max: usize,
    fastest: HashMap<HostPair, (i64, i64)>,
    offsets: HashMap<HostPair, Offset>,
}

/// How far the callee's clock is ahead of the caller's, by the last intervals.
#[derive(Debug, Default)]
struct Offset {
    past: VecDeque<i64>,
    median: i64,
}

impl Offset {
    fn settle(&mut self) {
        let mut sorted: Vec<i64> = self.past.iter().copied().collect();
        sorted.sort_unstable();
        self.median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    }
}

impl Skews {
    /// Nothing is known yet, and of at most `max` pairs anything will be.
    pub(super) fn new(max: usize) -> Self {
        Self { max, fastest: HashMap::default(), offsets: HashMap::default() }
    }

    /// Takes one RPC of the interval that is being closed into account.
    pub(super) fn observe(&mut self, hosts: HostPair, raw: RawDelays) {
        // Nobody waited for this response: by it the callee's clock would seem ahead.
        if raw.is_given_up() {
            return;
        }
        if let Some((request, response)) = self.fastest.get_mut(&hosts) {
            *request = (*request).min(raw.request_ns);
            *response = (*response).min(raw.response_ns);
        } else if self.fastest.len() < self.max {
            self.fastest.insert(hosts, (raw.request_ns, raw.response_ns));
        }
    }

    /// Ends the interval: its fastest delays become one more offset of each pair. Pairs that have
    /// gone silent are forgotten little by little.
    pub(super) fn end_interval(&mut self) {
        self.offsets.retain(|hosts, offset| {
            if !self.fastest.contains_key(hosts) {
                offset.past.pop_front();
                offset.settle();
            }
            !offset.past.is_empty()
        });
        for (hosts, (request, response)) in self.fastest.drain() {
            let offset = self.offsets.entry(hosts).or_default();
            offset.past.push_back(request.saturating_sub(response) / 2);
            if offset.past.len() > REMEMBERED {
                offset.past.pop_front();
            }
            offset.settle();
        }
    }

    /// How far the callee's clock is ahead, nanoseconds, when that is known.
    pub(super) fn offset_ns(&self, hosts: HostPair) -> Option<i64> {
        // One host has one clock.
        if hosts.0 == hosts.1 {
            return Some(0);
        }
        self.offsets.get(&hosts).map(|offset| offset.median)
    }

    /// Every name that is remembered.
    pub(super) fn names(&self) -> impl Iterator<Item = Id> {
        self.fastest.keys().chain(self.offsets.keys()).flat_map(|(a, b)| [*a, *b])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Two hosts.
    fn hosts() -> HostPair {
        let mut names = super::super::names::Names::default();
        (names.get(&"a".into()), names.get(&"b".into()))
    }

    /// One interval in which requests take `request` and responses `response` at best, seen by a
    /// callee whose clock is `skew` ahead.
    fn interval(skews: &mut Skews, hosts: HostPair, request: i64, response: i64, skew: i64) {
        for extra in 0..5 {
            let raw = RawDelays {
                request_ns: request + extra * MS + skew,
                response_ns: response + (4 - extra) * MS - skew,
            };
            skews.observe(hosts, raw);
        }
        skews.end_interval();
    }

    #[test]
    fn a_skewed_clock_is_found_and_taken_out() {
        let (mut skews, hosts) = (Skews::new(100), hosts());
        for _ in 0..3 {
            interval(&mut skews, hosts, MS, MS, 50 * MS);
        }
        assert_eq!(skews.offset_ns(hosts).unwrap_or(0), 50 * MS);
        let raw = RawDelays { request_ns: 53 * MS, response_ns: -49 * MS };
        assert_eq!(raw.split(skews.offset_ns(hosts).unwrap_or(0)), (3_000_000, 1_000_000));
    }

    #[test]
    fn a_link_that_turns_slow_one_way_is_not_taken_for_a_clock() {
        let (mut skews, hosts) = (Skews::new(100), hosts());
        for _ in 0..6 {
            interval(&mut skews, hosts, MS, MS, 0);
        }
        interval(&mut skews, hosts, 250 * MS, MS, 0);
        let raw = RawDelays { request_ns: 251 * MS, response_ns: MS };
        assert_eq!(raw.split(skews.offset_ns(hosts).unwrap_or(0)), (251_000_000, 1_000_000));
    }

    #[test]
    fn the_parts_always_add_up_to_the_true_sum() {
        let raw = RawDelays { request_ns: -7 * MS, response_ns: 10 * MS };
        for offset in [-100 * MS, -8 * MS, 0, 100 * MS] {
            let (request, response) = raw.split(offset);
            assert_eq!(request + response, 3_000_000);
        }
    }
}
