//! Which intervals are open, and what may still go into them.

use std::collections::BTreeMap;

use crate::data::{EventTime, Interval};

/// The open intervals.
#[derive(Debug)]
pub(super) struct Intervals {
    length_ms: i64,
    max: usize,
    /// Traces with spans that ended in an open interval, by the interval's start; some twice.
    open: BTreeMap<i64, Vec<u128>>,
    /// How many these are.
    noted: usize,
    /// Start of an open interval: the one that was asked for last.
    last: Option<i64>,
    horizon: Option<i64>,
}

impl Intervals {
    /// Nothing is open. At most `max` intervals of `length_ms` will be at a time.
    pub(super) fn new(length_ms: i64, max: usize) -> Self {
        let length_ms = length_ms.max(1);
        Self { length_ms, max, open: BTreeMap::new(), noted: 0, last: None, horizon: None }
    }

    /// Everything before `horizon` is closed already.
    pub(super) fn resume_at(&mut self, horizon: EventTime) {
        self.horizon = Some(horizon.0);
        self.last = None;
    }

    /// Length of an interval, milliseconds.
    pub(super) fn length_ms(&self) -> i64 {
        self.length_ms
    }

    /// Start of the interval of `t`, if that is open or may be opened; else why not.
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

    /// Opens the interval that starts at `start`.
    pub(super) fn open(&mut self, start: i64) {
        if self.last != Some(start) {
            self.open.entry(start).or_default();
            self.last = Some(start);
        }
    }

    /// The interval that starts at `start`, which opens, has spans of `trace`.
    pub(super) fn note(&mut self, start: i64, trace: u128) {
        self.open.entry(start).or_default().push(trace);
        self.noted += 1;
        self.last = Some(start);
    }

    /// Traces that open intervals know of, some twice.
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

    /// Closes the oldest interval that ends at or before `watermark`: its start and its traces, in a fixed
    /// order, so that the same telemetry always gives the same frame.
    pub(super) fn close_before(&mut self, watermark: i64) -> Option<(i64, Vec<u128>)> {
        let first = self.open.first_entry()?;
        let start = *first.key();
        if start + self.length_ms > watermark {
            return None;
        }
        self.horizon = Some(start + self.length_ms);
        self.last = None;
        let mut traces = first.remove();
        self.noted -= traces.len();
        traces.sort_unstable();
        traces.dedup();
        Some((start, traces))
    }

    /// Data before this moment comes too late.
    pub(super) fn horizon(&self) -> Option<EventTime> {
        self.horizon.map(EventTime)
    }

    /// Open intervals.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(intervals.close_before(5_999), None);
        assert_eq!(intervals.close_before(6_000), Some((5_000, vec![1])));
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
        assert_eq!(intervals.close_before(1000), Some((0, vec![1, 3])));
        assert_eq!(intervals.noted(), 2);
    }
}
