//! One histogram by interval: its growth between scrapes, spread over event time.

use std::collections::VecDeque;

use super::cells::Distribution;
use super::snapshot::{Growth, Snapshot};
use crate::data::{EventTime, Histogram, Interval, Sample};

/// Snapshots that wait for their interval to close; older ones are counted at once.
const WAITING_MAX: usize = 16;
/// The same when there is no room for so many.
const WAITING_FEW: usize = 2;
/// What a bound of a snapshot takes, a cell of a distribution with its share of a tree, and what is around
/// each of these.
const BOUND_BYTES: usize = 16;
const CELL_BYTES: usize = 64;
const PART_BYTES: usize = 96;
/// Intervals a histogram keeps open; older ones are given up first.
const INTERVALS_MAX: usize = 64;
/// An interval of which less than this share is covered by scrapes is not extrapolated to all of it.
const COVERED_MIN: f64 = 0.5;

/// What was added in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grown {
    start_ms: i64,
    covered_ms: i64,
    pub(super) values: Distribution,
    pub(super) total: f64,
}

impl Grown {
    fn add(&mut self, other: &Self) {
        self.covered_ms += other.covered_ms;
        self.values.merge(&other.values, 1.0, 1.0);
        self.total += other.total;
    }
}

/// State of one histogram.
#[derive(Debug)]
pub(super) struct State {
    interval_ms: i64,
    stale_ms: i64,
    buckets_max: usize,
    last: Option<Snapshot>,
    waiting: VecDeque<Snapshot>,
    grown: Vec<Grown>,
    /// Nothing up to this moment counts any more.
    counted_ms: i64,
    newest_ms: i64,
    /// What snapshots and growth take, about.
    held: usize,
}

impl State {
    /// A histogram that counts as gone when nothing comes for `stale_ms`.
    pub(super) fn new(interval_ms: i64, stale_ms: i64, buckets_max: usize) -> Self {
        Self {
            interval_ms,
            stale_ms,
            buckets_max,
            last: None,
            waiting: VecDeque::new(),
            grown: Vec::new(),
            counted_ms: i64::MIN,
            newest_ms: i64::MIN,
            held: 0,
        }
    }

    /// What it takes in memory, about.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.held
    }

    /// Looks again at what is held: only where a snapshot comes or goes, and at a close.
    fn weigh(&mut self) {
        let snapshots = self.waiting.iter().chain(&self.last);
        let bounds: usize = snapshots.map(|s| s.room() * BOUND_BYTES + PART_BYTES).sum();
        let grown: usize =
            self.grown.iter().map(|g| g.values.len() * CELL_BYTES + PART_BYTES).sum();
        self.held = bounds + grown;
    }

    /// Takes a sample of the bucket up to `bound`.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn push(
        &mut self,
        bound: f64,
        sample: Sample,
        has_room: bool,
    ) -> Result<(), &'static str> {
        if sample.time_ms <= self.counted_ms {
            return Err("duplicate");
        }
        if sample.is_stale_marker() {
            self.end(sample.time_ms);
            return Ok(());
        }
        if !sample.value.is_finite() {
            return Err("not_finite");
        }
        let at = self.waiting.partition_point(|s| s.time.0 < sample.time_ms);
        if self.waiting.get(at).is_none_or(|s| s.time.0 != sample.time_ms) {
            self.waiting.insert(at, Snapshot::classic(EventTime(sample.time_ms)));
        }
        self.newest_ms = self.newest_ms.max(sample.time_ms);
        let snapshot = &mut self.waiting[at];
        let before = snapshot.room();
        snapshot.insert(bound, sample.value, self.buckets_max)?;
        self.held += (snapshot.room() - before) * BOUND_BYTES;
        self.bound(has_room);
        Ok(())
    }

    /// Counts the oldest snapshots when too many wait.
    fn bound(&mut self, has_room: bool) {
        let max = if has_room { WAITING_MAX } else { WAITING_FEW };
        while self.waiting.len() > max {
            self.count_oldest();
            self.weigh();
        }
    }

    /// Takes a native histogram.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn push_native(
        &mut self,
        histogram: &Histogram,
        has_room: bool,
    ) -> Result<(), &'static str> {
        let time_ms = histogram.time_ms;
        if time_ms <= self.counted_ms {
            return Err("duplicate");
        }
        if histogram.is_stale_marker() {
            self.end(time_ms);
            return Ok(());
        }
        let at = self.waiting.partition_point(|s| s.time.0 < time_ms);
        if self.waiting.get(at).is_some_and(|s| s.time.0 == time_ms) {
            return Err("duplicate");
        }
        self.waiting.insert(at, Snapshot::native(histogram, self.buckets_max)?);
        self.newest_ms = self.newest_ms.max(time_ms);
        self.weigh();
        self.bound(has_room);
        Ok(())
    }

    /// The histogram ends at `time_ms`: whatever comes later begins at zero somewhere unknown. Other buckets
    /// may still have to tell what was before.
    fn end(&mut self, time_ms: i64) {
        let at = self.waiting.partition_point(|s| s.time.0 < time_ms);
        if self.waiting.get(at).is_none_or(|s| s.time.0 != time_ms) {
            self.waiting.insert(at, Snapshot::end(EventTime(time_ms)));
        }
    }

    fn count_oldest(&mut self) {
        let Some(snapshot) = self.waiting.pop_front() else { return };
        self.counted_ms = self.counted_ms.max(snapshot.time.0);
        if snapshot.is_end() {
            self.last = None;
            return;
        }
        // Of a scrape of which only parts have come nothing is known.
        if !snapshot.is_counted() {
            return;
        }
        if let Some(last) = self.last.take() {
            let gap = snapshot.time.0.saturating_sub(last.time.0);
            if gap <= self.stale_ms {
                self.spread(&snapshot.since(&last), last.time.0, snapshot.time.0);
            }
        }
        self.last = Some(snapshot);
    }

    /// Spreads growth evenly over the time in which it came.
    fn spread(&mut self, growth: &Growth, from: i64, to: i64) {
        let mut at = from;
        while at < to {
            let interval = Interval::containing(EventTime(at), self.interval_ms);
            let until = interval.end.0.min(to);
            let share = (until - at) as f64 / (to - from) as f64;
            let grown = self.grown_in(interval.start.0);
            grown.covered_ms += until - at;
            grown.total += growth.total * share;
            for cell in &growth.cells {
                grown.values.add(cell, share);
            }
            at = until;
        }
    }

    fn grown_in(&mut self, start_ms: i64) -> &mut Grown {
        let found = self.grown.iter().position(|g| g.start_ms == start_ms);
        let at = found.unwrap_or_else(|| {
            if self.grown.len() == INTERVALS_MAX {
                self.grown.remove(0);
            }
            self.grown.push(Grown { start_ms, ..Grown::default() });
            self.grown.len() - 1
        });
        &mut self.grown[at]
    }

    /// What was added in `interval`, which is being closed, and by how much to multiply it for the part of the
    /// interval that no two scrapes enclose. Intervals must be closed in order; nothing up to `watermark_ms` is
    /// to be waited for.
    pub(super) fn close(&mut self, interval: Interval, watermark_ms: i64) -> Option<(Grown, f64)> {
        // A scrape after the watermark helps when all of it is there already.
        while let Some(next) = self.waiting.front()
            && (next.time.0 <= watermark_ms || next.is_whole(self.last.as_ref()))
        {
            self.count_oldest();
        }
        let (start_ms, end_ms) = (interval.start.0, interval.end.0);
        let mut grown: Option<Grown> = None;
        for part in self.grown.extract_if(.., |g| g.start_ms < end_ms) {
            match &mut grown {
                _ if part.start_ms < start_ms => {}
                Some(grown) => grown.add(&part),
                None => grown = Some(part),
            }
        }
        self.weigh();
        let grown = grown.filter(|g| g.total > 0.0)?;
        let covered = grown.covered_ms as f64 / (end_ms - start_ms) as f64;
        Some((grown, 1.0 / covered.max(COVERED_MIN)))
    }

    /// Whether the histogram was silent for `silent_ms` before `now_ms`.
    pub(super) fn is_idle(&self, now_ms: i64, silent_ms: i64) -> bool {
        self.waiting.is_empty()
            && self.grown.is_empty()
            && self.newest_ms < now_ms.saturating_sub(silent_ms)
    }
}
