//! Values of one series by interval: counter rates with reset detection, gauge means, and of times that somebody
//! measured the share that was lost.

use crate::data::{Interval, MetricKind, Sample};

/// Intervals a series keeps open; older cells are taken first.
const CELLS_MAX: usize = 64;

/// What one series contributes to one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cell {
    start_ms: i64,
    /// Counter: growth. Gauge: sum of the samples.
    sum: f64,
    /// Counter: seconds covered. Gauge: number of samples.
    weight: f64,
    /// Samples that say that nothing was measured.
    lost: f64,
}

impl Cell {
    fn is_empty(&self) -> bool {
        self.weight + self.lost == 0.0
    }
}

impl std::ops::AddAssign<(f64, f64)> for Cell {
    #[inline]
    fn add_assign(&mut self, (sum, weight): (f64, f64)) {
        self.sum += sum;
        self.weight += weight;
    }
}

/// State of one series.
#[derive(Debug)]
pub(super) struct SeriesState {
    kind: MetricKind,
    interval_ms: i64,
    stale_ms: i64,
    last: Option<Sample>,
    /// Value of the newest interval that had samples: carried forward while the series is alive.
    carried: Option<f64>,
    /// Share of its samples that say that nothing was measured, carried forward as well.
    lost: Option<f64>,
    /// The newest interval that something came for: nearly every sample is of it.
    newest: Option<Cell>,
    /// Those before it that are not closed yet.
    older: Vec<Cell>,
    ended: bool,
}

impl SeriesState {
    /// A series that counts as gone when nothing comes for `stale_ms`.
    pub(super) fn new(kind: MetricKind, interval_ms: i64, stale_ms: i64) -> Self {
        Self {
            kind,
            interval_ms,
            stale_ms,
            last: None,
            carried: None,
            lost: None,
            newest: None,
            older: Vec::new(),
            ended: false,
        }
    }

    /// Takes a sample.
    ///
    /// # Errors
    /// Why it does not count. Samples before the newest one are repeats or come too late.
    pub(super) fn push(&mut self, sample: Sample) -> Result<(), &'static str> {
        if self.last.is_some_and(|last| sample.time_ms <= last.time_ms) {
            return Err("duplicate");
        }
        if sample.is_stale_marker() {
            (self.last, self.ended) = (None, true);
            return Ok(());
        }
        // Other NaNs and infinities are data to Prometheus, but no measure of a resource.
        if !sample.value.is_finite() {
            return Err("not_finite");
        }
        self.ended = false;
        match self.kind {
            MetricKind::Gauge => {
                let start = self.start_of(sample.time_ms);
                *self.cell(start) += (sample.value, 1.0);
            }
            MetricKind::Counter => self.grow(sample),
            MetricKind::Duration | MetricKind::Lost => {
                let start = self.start_of(sample.time_ms);
                match sample.value > 0.0 {
                    true => *self.cell(start) += (sample.value, 1.0),
                    false => self.cell(start).lost += 1.0,
                }
            }
        }
        self.last = Some(sample);
        Ok(())
    }

    #[inline]
    fn start_of(&self, time_ms: i64) -> i64 {
        // What comes next is mostly of the same interval.
        match self.newest {
            Some(Cell { start_ms, .. })
                if (0..self.interval_ms).contains(&time_ms.wrapping_sub(start_ms)) =>
            {
                start_ms
            }
            _ => time_ms.div_euclid(self.interval_ms) * self.interval_ms,
        }
    }

    /// Spreads a counter's growth since the last sample evenly over the time between.
    fn grow(&mut self, sample: Sample) {
        let Some(last) = self.last else { return };
        let (from, to) = (last.time_ms, sample.time_ms);
        if to.saturating_sub(from) > self.stale_ms {
            return;
        }
        // A smaller value means the counter began again at zero.
        let reset = sample.value < last.value;
        let growth = if reset { sample.value } else { sample.value - last.value };
        let mut at = from;
        while at < to {
            let start = self.start_of(at);
            let until = (start + self.interval_ms).min(to);
            let share = (until - at) as f64 / (to - from) as f64;
            *self.cell(start) += (growth * share, (until - at) as f64 / 1000.0);
            at = until;
        }
    }

    /// The cell of the interval that starts at `start_ms`.
    #[inline]
    fn cell(&mut self, start_ms: i64) -> &mut Cell {
        if self.newest.is_some_and(|c| c.start_ms != start_ms) {
            return self.other(start_ms);
        }
        self.newest.get_or_insert_with(|| Cell { start_ms, ..Cell::default() })
    }

    /// A cell that is not the newest so far.
    fn other(&mut self, start_ms: i64) -> &mut Cell {
        let new = Cell { start_ms, ..Cell::default() };
        let is_newer = self.newest.is_some_and(|c| c.start_ms < start_ms);
        let found = self.older.iter().position(|c| c.start_ms == start_ms);
        if found.is_none() && self.older.len() + 1 == CELLS_MAX {
            self.older.remove(0);
        }
        if is_newer {
            self.older.extend(self.newest.take());
            return self.newest.insert(new);
        }
        let at = found.unwrap_or_else(|| {
            self.older.push(new);
            self.older.len() - 1
        });
        &mut self.older[at]
    }

    /// The value in `interval`, which is being closed: rate per second or mean, or the last known one while the
    /// series lives. Intervals must be closed in order.
    pub(super) fn close(&mut self, interval: Interval) -> Option<f64> {
        let (start_ms, end_ms) = (interval.start.0, interval.end.0);
        let cell = self.between(start_ms, end_ms);
        self.older.retain(|c| c.start_ms >= end_ms);
        self.newest = self.newest.filter(|c| c.start_ms >= end_ms);
        if !cell.is_empty() {
            self.carried = Some(cell.sum / cell.weight).filter(|v| v.is_finite());
            self.lost = Some(cell.lost / (cell.weight + cell.lost));
        } else if self.ended || self.is_idle(start_ms) {
            (self.carried, self.lost) = (None, None);
        }
        self.carried
    }

    /// All cells from `start_ms` to before `end_ms` in one.
    fn between(&self, start_ms: i64, end_ms: i64) -> Cell {
        let mut all = Cell { start_ms, ..Cell::default() };
        let cells = self.older.iter().chain(&self.newest);
        for cell in cells.filter(|c| (start_ms..end_ms).contains(&c.start_ms)) {
            all += (cell.sum, cell.weight);
            all.lost += cell.lost;
        }
        all
    }

    /// The share of the samples of the interval that was closed last for which nothing was measured.
    pub(super) fn lost(&self) -> Option<f64> {
        self.lost
    }

    /// Whether the series was silent for too long before `now_ms`.
    fn is_idle(&self, now_ms: i64) -> bool {
        self.is_silent(now_ms.saturating_sub(self.stale_ms))
    }

    /// Whether nothing has come since `since_ms`, and nothing waits for its interval to close.
    pub(super) fn is_silent(&self, since_ms: i64) -> bool {
        self.newest.is_none()
            && self.older.is_empty()
            && self.last.is_none_or(|last| last.time_ms < since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EventTime, STALE_NAN_BITS};

    const STALE: i64 = 300_000;

    fn fed(kind: MetricKind, samples: &[(i64, f64)]) -> SeriesState {
        let mut state = SeriesState::new(kind, 30_000, STALE);
        for (time_ms, value) in samples {
            // Repeats are refused; what counts is what comes out.
            state.push(Sample { time_ms: *time_ms, value: *value }).ok();
        }
        state
    }

    /// Closes the interval of 30 s that starts at `start_ms`.
    fn close(s: &mut SeriesState, start_ms: i64) -> Option<f64> {
        s.close(Interval::containing(EventTime(start_ms), 30_000))
    }

    #[test]
    fn a_counter_becomes_a_rate_and_survives_a_reset() {
        let mut s = fed(MetricKind::Counter, &[(0, 100.0), (15_000, 130.0), (30_000, 30.0)]);
        // 30 in the first half, then a restart from zero to 30 in the second.
        assert_eq!(close(&mut s, 0), Some(2.0));
    }

    #[test]
    fn a_scrape_slower_than_the_interval_covers_every_interval() {
        let mut s = fed(MetricKind::Counter, &[(10_000, 0.0), (70_000, 60.0)]);
        for start in [0, 30_000, 60_000] {
            assert_eq!(close(&mut s, start), Some(1.0), "interval at {start}");
        }
    }

    #[test]
    fn an_interval_of_several_parts_has_the_mean_of_them_by_what_they_weigh() {
        let two_minutes = Interval::containing(EventTime(0), 120_000);
        let gauge = [(1_000, 2.0), (16_000, 4.0), (31_000, 9.0), (121_000, 7.0)];
        let mut s = fed(MetricKind::Gauge, &gauge);
        assert_eq!((s.close(two_minutes), s.lost()), (Some(5.0), Some(0.0)));
        assert_eq!(close(&mut s, 120_000), Some(7.0));
        let mut s = fed(MetricKind::Counter, &[(0, 0.0), (60_000, 30.0), (120_000, 150.0)]);
        assert_eq!(s.close(two_minutes), Some(1.25));
        let mut s = fed(MetricKind::Duration, &[(1_000, 0.5), (31_000, 0.0), (61_000, 0.0)]);
        assert_eq!((s.close(two_minutes), s.lost()), (Some(0.5), Some(2.0 / 3.0)));
    }

    #[test]
    fn a_gauge_is_its_mean_and_is_carried_forward_until_stale() {
        let mut s = fed(MetricKind::Gauge, &[(1_000, 2.0), (16_000, 4.0)]);
        assert_eq!(close(&mut s, 0), Some(3.0));
        assert_eq!(close(&mut s, 300_000), Some(3.0));
        assert_eq!(close(&mut s, 330_000), None);
    }

    /// What blackbox exporter says of pings: the second and the third are lost.
    #[test]
    fn a_lost_ping_is_no_fast_one() {
        let pings = [(1_000, 0.25), (11_000, 0.0), (21_000, 0.0), (29_000, 0.75)];
        let mut s = fed(MetricKind::Duration, &pings);
        assert_eq!((close(&mut s, 0), s.lost()), (Some(0.5), Some(0.5)));
        // Where all are lost there is nothing that could be carried on.
        let mut s = fed(MetricKind::Duration, &[(1_000, 0.25), (31_000, 0.0)]);
        assert_eq!((close(&mut s, 0), s.lost()), (Some(0.25), Some(0.0)));
        assert_eq!((close(&mut s, 30_000), s.lost()), (None, Some(1.0)));
        assert_eq!((close(&mut s, 60_000), s.lost()), (None, Some(1.0)));
        assert_eq!((close(&mut s, 360_000), s.lost()), (None, None), "until the series is stale");
        assert_eq!(close(&mut fed(MetricKind::Gauge, &pings), 0), Some(0.25), "others may be zero");
    }

    #[test]
    fn a_stale_marker_ends_the_series_at_once() {
        let end = f64::from_bits(STALE_NAN_BITS);
        let mut s = fed(MetricKind::Gauge, &[(1_000, 2.0), (31_000, end)]);
        assert_eq!(close(&mut s, 0), Some(2.0));
        assert_eq!(close(&mut s, 30_000), None);
        let mut s =
            fed(MetricKind::Counter, &[(0, 9.0), (15_000, end), (20_000, 5.0), (30_000, 15.0)]);
        assert_eq!(close(&mut s, 0), Some(1.0));
    }

    #[test]
    fn cells_of_intervals_that_wait_are_kept_apart_and_the_oldest_go() {
        let every: Vec<(i64, f64)> = (0..100).map(|n| (n * 30_000 + 1, n as f64)).collect();
        let mut s = fed(MetricKind::Gauge, &every);
        assert_eq!(close(&mut s, 35 * 30_000), None);
        for n in [36, 37, 98, 99] {
            assert_eq!(close(&mut s, n * 30_000), Some(n as f64), "{n}");
        }
        assert!(s.is_silent(i64::MAX));
    }

    #[test]
    fn repeats_and_old_samples_change_nothing() {
        let once = [(0, 0.0), (15_000, 15.0), (30_000, 30.0)];
        let twice = [(0, 0.0), (15_000, 15.0), (15_000, 15.0), (0, 0.0), (30_000, 30.0)];
        for samples in [&once[..], &twice[..]] {
            assert_eq!(close(&mut fed(MetricKind::Counter, samples), 0), Some(1.0));
        }
    }
}
