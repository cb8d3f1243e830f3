//! What is read when: stretches of event time on the grid of the sidecar's intervals.

use std::path::PathBuf;
use std::time::Duration;

use super::error::Error;
use super::selector::Selector;
use crate::client::Login;
use crate::data::EventTime;

/// Points a series may have in one answer; Prometheus refuses more.
pub(super) const POINTS_MAX: i64 = 11_000;
/// Intervals in one stretch: few enough to hold, many enough to keep the number of queries low.
const STRETCH_INTERVALS: i64 = 10;

/// Where a program is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Base URL.
    pub url: String,
    /// Credentials.
    pub login: Login,
}

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where samples are.
    pub prometheus: Option<Endpoint>,
    /// Where spans are.
    pub jaeger: Option<Endpoint>,
    /// The sidecar's HTTP listener.
    pub target: Endpoint,
    /// The sidecar's OTLP/HTTP listener.
    pub otlp: Endpoint,
    /// First moment wanted.
    pub from: EventTime,
    /// First moment not wanted any more.
    pub to: EventTime,
    /// Length of the sidecar's intervals.
    pub interval: Duration,
    /// Time between two samples of a series; half an interval unless it is given.
    pub step: Option<Duration>,
    /// Traces Jaeger is asked for at once.
    pub limit: u32,
    /// Spans and samples sent in a second.
    pub rate: u32,
    /// Which series are wanted.
    pub selectors: Vec<Selector>,
    /// Where it is kept how far the run has come.
    pub state: PathBuf,
}

/// A half-open stretch of event time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First moment inside.
    pub start: i64,
    /// First moment after.
    pub end: i64,
}

impl Range {
    /// Two halves, the first of which ends on a multiple of `grid`; none if it is shorter than two.
    pub(super) fn halves(self, grid: i64) -> Option<[Range; 2]> {
        let middle = (self.start + (self.end - self.start) / 2).div_euclid(grid) * grid;
        let inside = middle > self.start && middle < self.end;
        let halves =
            [Range { start: self.start, end: middle }, Range { start: middle, end: self.end }];
        inside.then_some(halves)
    }
}

/// Times and lengths of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) range: Range,
    pub(super) interval: i64,
    pub(super) step: i64,
}

impl Plan {
    /// Checks and rounds: `from` down and `to` up to whole intervals, which alone make whole frames.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let (from, to) = (options.from, options.to);
        let fault = |why| Error::Range { from, to, why };
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        let interval = ms(options.interval).clamp(1000, 86_400_000);
        let step = options.step.map_or(interval / 2, ms);
        if from.0 < 0 || to.0 > i64::MAX / 2 {
            return Err(fault("there is no telemetry of that time"));
        }
        if from >= to {
            return Err(fault("--to must be after --from"));
        }
        if step < 100 || step > interval {
            return Err(fault("--step must lie between 100ms and the length of an interval"));
        }
        let start = from.0.div_euclid(interval) * interval;
        let end = (to.0 + interval - 1).div_euclid(interval) * interval;
        Ok(Self { range: Range { start, end }, interval, step })
    }

    /// The stretch that begins at `start`.
    pub(super) fn stretch(&self, start: i64) -> Range {
        let points = POINTS_MAX.saturating_mul(self.step) / self.interval;
        let intervals = STRETCH_INTERVALS.min(points).max(1);
        Range { start, end: (start + intervals * self.interval).min(self.range.end) }
    }

    /// The intervals of a stretch.
    pub(super) fn slices(&self, stretch: Range) -> impl Iterator<Item = Range> + use<> {
        let interval = self.interval;
        let count = (stretch.end - stretch.start) / interval;
        (0..count).map(move |i| {
            let start = stretch.start + i * interval;
            Range { start, end: start + interval }
        })
    }

    /// How much of the run lies before `t`.
    pub(super) fn share(&self, t: i64) -> f64 {
        (t - self.range.start) as f64 / (self.range.end - self.range.start).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(from: i64, to: i64, interval: u64, step: Option<u64>) -> Result<Plan, Error> {
        let nowhere = Endpoint { url: "http://localhost".into(), login: Login::None };
        Plan::new(&Options {
            prometheus: None,
            jaeger: None,
            target: nowhere.clone(),
            otlp: nowhere,
            from: EventTime(from),
            to: EventTime(to),
            interval: Duration::from_secs(interval),
            step: step.map(Duration::from_millis),
            limit: 10,
            rate: 10,
            selectors: Vec::new(),
            state: PathBuf::new(),
        })
    }

    #[test]
    fn a_run_covers_whole_intervals_and_nothing_twice() {
        let plan = plan(31_000, 400_001, 30, None).unwrap();
        assert_eq!((plan.range, plan.step), (Range { start: 30_000, end: 420_000 }, 15_000));
        let (mut at, mut slices) = (plan.range.start, Vec::new());
        while at < plan.range.end {
            let stretch = plan.stretch(at);
            slices.extend(plan.slices(stretch));
            at = stretch.end;
        }
        assert_eq!(slices.len(), 13);
        assert!(slices.windows(2).all(|w| w[0].end == w[1].start));
        assert_eq!(slices[12].end, 420_000);
    }

    #[test]
    fn no_series_has_more_points_than_prometheus_gives() {
        for (interval, step) in [(30, 100), (3600, 1000), (3600, 100), (30, 30_000)] {
            let plan = plan(0, 1 << 40, interval, Some(step)).unwrap();
            let stretch = plan.stretch(0);
            let points = (stretch.end - stretch.start) / plan.step;
            let whole = plan.interval / plan.step;
            assert!(points <= POINTS_MAX || points == whole, "{interval} {step}: {points}");
        }
    }

    #[test]
    fn times_that_make_no_sense_are_refused() {
        for (from, to, step) in [(5, 5, None), (9, 5, None), (-1, 5, None), (0, 5, Some(31_000))] {
            assert!(plan(from, to, 30, step).is_err(), "{from} {to} {step:?}");
        }
    }

    #[test]
    fn halves_meet_on_the_grid_until_there_is_nothing_to_halve() {
        let range = Range { start: 0, end: 90 };
        let [a, b] = range.halves(30).unwrap();
        assert_eq!((a.end, b.start, b.end), (30, 30, 90));
        assert_eq!(a.halves(30), None);
    }
}
