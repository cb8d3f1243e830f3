//! What is open, in parts of the configured length, and what may still go into it. An interval is one of these parts or
//! several (see [`Pace`](super::pace::Pace)): how many is known when it closes.

use std::collections::BTreeMap;

use crate::data::{EventTime, Interval};

/// The open parts.
#[derive(Debug)]
pub(super) struct Intervals {
    length_ms: i64,
    max: usize,
    /// Traces with spans that ended in an open part, by its start; some twice.
    open: BTreeMap<i64, Vec<u128>>,
    /// How many these are.
    noted: usize,
    /// Start of an open part: the one that was asked for last.
    last: Option<i64>,
    horizon: Option<i64>,
}

impl Intervals {
    /// Nothing is open. At most `max` parts of `length_ms` will be at a time.
    pub(super) fn new(length_ms: i64, max: usize) -> Self {
        let length_ms = length_ms.max(1);
        Self { length_ms, max, open: BTreeMap::new(), noted: 0, last: None, horizon: None }
    }

    /// Everything before `horizon` is closed already.
    pub(super) fn resume_at(&mut self, horizon: EventTime) {
        self.horizon = Some(horizon.0);
        self.last = None;
    }

    /// Start of what `t` belongs to, if that is open or may be opened; else why not.
    pub(super) fn admit(&self, t: EventTime) -> Result<i64, &'static str> {
        // What comes next is mostly of the same interval.
        if let Some(start) = self.last.filter(|s| (*s..*s + self.length_ms).contains(&t.0)) {
            return Ok(start);
        }
        let start = Interval::containing(t, self.length_ms).start.0;
        if self.horizon.is_some_and(|h| start < h) {
            return Err("late");
        }
        if self.open.len() >= self.max && !self.open.contains_key(&start) {
            return Err("intervals_full");
        }
        Ok(start)
    }

    /// Opens the part that starts at `start`.
    pub(super) fn open(&mut self, start: i64) {
        if self.last != Some(start) {
            self.open.entry(start).or_default();
            self.last = Some(start);
        }
    }

    /// The part that starts at `start`, which opens, has spans of `trace`.
    pub(super) fn note(&mut self, start: i64, trace: u128) {
        self.open.entry(start).or_default().push(trace);
        self.noted += 1;
        self.last = Some(start);
    }

    /// Traces that open parts know of, some twice.
    pub(super) fn noted(&self) -> usize {
        self.noted
    }

    /// Forgets the traces that are not there any more: while nothing closes, nothing else does.
    pub(super) fn forget(&mut self, is_there: impl Fn(u128) -> bool) {
        self.noted = 0;
        for traces in self.open.values_mut() {
            traces.retain(|trace| is_there(*trace));
            traces.sort_unstable();
            traces.dedup();
            traces.shrink_to_fit();
            self.noted += traces.len();
        }
    }

    /// Closes the oldest interval if it, so many `times` the configured length, ends at or before `watermark`. Returns
    /// it with its traces, in a fixed order, so that the same telemetry always gives the same frame.
    pub(super) fn close_before(
        &mut self,
        watermark: i64,
        times: i64,
    ) -> Option<(Interval, Vec<u128>)> {
        let first = *self.open.first_key_value()?.0;
        // On the grid of its own length, but for what was closed while intervals were shorter.
        let whole = Interval::containing(EventTime(first), times.saturating_mul(self.length_ms));
        let start = self.horizon.map_or(whole.start, |h| whole.start.max(EventTime(h)));
        let interval = Interval { start, end: whole.end };
        if interval.end.0 > watermark {
            return None;
        }
        self.horizon = Some(interval.end.0);
        self.last = None;
        let later = self.open.split_off(&interval.end.0);
        let parts = std::mem::replace(&mut self.open, later);
        let mut traces: Vec<u128> = parts.into_values().flatten().collect();
        self.noted -= traces.len();
        traces.sort_unstable();
        traces.dedup();
        Some((interval, traces))
    }

    /// Data before this moment comes too late.
    pub(super) fn horizon(&self) -> Option<EventTime> {
        self.horizon.map(EventTime)
    }

    /// Open parts.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(start: i64, end: i64) -> Interval {
        Interval { start: EventTime(start), end: EventTime(end) }
    }

    #[test]
    fn closed_intervals_stay_closed_and_gaps_count_against_the_limit() {
        let mut intervals = Intervals::new(1000, 2);
        for t in [5_000, 9_000] {
            let start = intervals.admit(EventTime(t)).unwrap();
            intervals.note(start, 1);
            intervals.note(start, 1);
        }
        // Neither after the newest nor between the two; into an open one always.
        assert_eq!(intervals.admit(EventTime(20_000)), Err("intervals_full"));
        assert_eq!(intervals.admit(EventTime(7_000)), Err("intervals_full"));
        assert_eq!(intervals.admit(EventTime(9_999)), Ok(9_000));
        assert_eq!(intervals.close_before(5_999, 1), None);
        assert_eq!(intervals.close_before(6_000, 1), Some((interval(5_000, 6_000), vec![1])));
        assert_eq!(intervals.admit(EventTime(5_500)), Err("late"));
        assert_eq!(intervals.admit(EventTime(20_000)), Ok(20_000));
    }

    #[test]
    fn traces_that_are_gone_are_forgotten() {
        let mut intervals = Intervals::new(1000, 2);
        for trace in [3, 1, 2, 1, 4] {
            intervals.note(0, trace);
            intervals.note(1000, trace);
        }
        intervals.forget(|trace| trace % 2 == 1);
        assert_eq!(intervals.noted(), 4);
        assert_eq!(intervals.close_before(1000, 1), Some((interval(0, 1000), vec![1, 3])));
        assert_eq!(intervals.noted(), 2);
    }

    #[test]
    fn an_interval_of_several_parts_closes_when_the_last_is_over_and_knows_a_trace_once() {
        let mut intervals = Intervals::new(1000, 9);
        let note = |intervals: &mut Intervals, t: i64, trace| {
            let start = intervals.admit(EventTime(t)).unwrap();
            intervals.note(start, trace);
        };
        for (t, trace) in [(4_100, 7), (5_000, 8), (7_900, 7), (8_000, 9)] {
            note(&mut intervals, t, trace);
        }
        assert_eq!(intervals.close_before(7_999, 4), None);
        assert_eq!(intervals.close_before(8_000, 4), Some((interval(4_000, 8_000), vec![7, 8])));
        assert_eq!((intervals.len(), intervals.noted()), (1, 1));
        // Shorter ones, then a longer one: it has what is left of its place on the grid.
        assert_eq!(intervals.close_before(9_000, 1), Some((interval(8_000, 9_000), vec![9])));
        assert_eq!(intervals.admit(EventTime(8_500)), Err("late"));
        note(&mut intervals, 11_000, 5);
        assert_eq!(intervals.close_before(12_000, 4), Some((interval(9_000, 12_000), vec![5])));
    }
}
