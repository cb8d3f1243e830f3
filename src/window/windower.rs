//! Telemetry in, one [`Frame`] per interval out. Pure: time comes in with the data.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::config::Config;
use super::metrics::{HalfLabels, Metrics, ReasonLabels};
use super::pair::{Memory, Pairing, pair};
use super::resources::{Resources, Taken};
use super::rpcs::Rpcs;
use super::skew::Skews;
use super::traces::{Added, Traces};
use super::watermark::Watermark;
use crate::data::{EventTime, Frame, Half, Interval, Series, Span};

/// How far the windows have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Event time before which nothing is expected any more.
    pub watermark: Option<EventTime>,
    /// Data before this moment comes too late.
    pub horizon: Option<EventTime>,
    /// Open intervals.
    pub open: usize,
    /// Frames closed since the start.
    pub closed: u64,
}

/// The state of all open intervals.
#[derive(Debug)]
pub struct Windower {
    config: Config,
    interval_ms: i64,
    watermark: Watermark,
    traces: Traces,
    memory: Memory,
    skews: Skews,
    resources: Resources,
    /// Traces with spans that ended in an open interval, by the interval's start.
    open: BTreeMap<i64, HashSet<u128>>,
    horizon: Option<i64>,
    closed: u64,
    metrics: Metrics,
}

impl Windower {
    /// Starts with nothing open.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        Self {
            interval_ms: ms(config.interval).max(1),
            watermark: Watermark::new(ms(config.lateness)),
            traces: Traces::new(config.spans_waiting_max),
            memory: Memory::default(),
            skews: Skews::default(),
            resources: Resources::new(config),
            open: BTreeMap::new(),
            horizon: None,
            closed: 0,
            config: config.clone(),
            metrics,
        }
    }

    /// Nothing before `horizon` is taken any more: frames up to there are closed already.
    #[must_use]
    pub fn resume_at(mut self, horizon: EventTime) -> Self {
        self.horizon = Some(horizon.0);
        self
    }

    /// Takes spans; `now` is the wall clock since any fixed moment, for time-outs only.
    pub fn push_spans(&mut self, spans: Vec<Span>, now: Duration) {
        for span in spans {
            let end = EventTime::from_nanos(span.end_ns);
            let Some(start) = self.admit(end, "span") else { continue };
            self.watermark.observe(&span.service, end.0, now);
            if matches!(span.half, Half::Server | Half::Consumer) {
                self.memory.instrument(&span.service);
            }
            self.resources.locate(&span.service, &span.replica, &span.node);
            let trace = span.trace;
            match self.traces.add(span) {
                Added::Waits => {
                    self.open.entry(start).or_default().insert(trace);
                }
                Added::Duplicate => self.metrics.drop_items("span", "duplicate", 1),
            }
        }
        self.metrics.drop_items("span", "evicted", self.traces.evict());
        self.metrics.spans_waiting.set(self.traces.waiting() as i64);
    }

    /// Takes series; `now` as in [`Windower::push_spans`].
    pub fn push_series(&mut self, series: &[Series], now: Duration) {
        for one in series {
            let (taken, sender) = self.resources.push(one);
            let reason = match taken {
                Taken::Counted => None,
                Taken::Unbound => Some("unbound"),
                Taken::Refused => Some("limit"),
            };
            if let Some(reason) = reason {
                self.metrics.series_dropped.get_or_create(&ReasonLabels { reason }).inc();
            }
            let Some(sender) = sender else { continue };
            for sample in &one.samples {
                if let Some(start) = self.admit(EventTime(sample.time_ms), "sample") {
                    self.watermark.observe(&sender, sample.time_ms, now);
                    self.open.entry(start).or_default();
                }
            }
        }
        self.metrics.series.set(self.resources.len() as i64);
    }

    /// Start of the interval of `t`, if that is open or may be opened.
    fn admit(&self, t: EventTime, item: &'static str) -> Option<i64> {
        let start = Interval::containing(t, self.interval_ms).start.0;
        if self.horizon.is_some_and(|h| start < h) {
            self.metrics.drop_items(item, "late", 1);
            return None;
        }
        let is_full = self.open.len() >= self.config.open_intervals_max;
        if is_full && self.open.last_key_value().is_some_and(|(last, _)| start > *last) {
            self.metrics.drop_items(item, "too_far_ahead", 1);
            return None;
        }
        Some(start)
    }

    /// Closes every interval the watermark has passed, oldest first.
    pub fn close(&mut self, now: Duration) -> Vec<Frame> {
        let Some(watermark) = self.watermark.advance(now) else { return Vec::new() };
        let mut frames = Vec::new();
        while let Some((start, _)) = self.open.first_key_value() {
            let start = *start;
            if start + self.interval_ms > watermark {
                break;
            }
            let traces = self.open.remove(&start).unwrap_or_default();
            frames.push(self.close_interval(start, &traces));
        }
        self.metrics.open_intervals.set(self.open.len() as i64);
        self.metrics.watermark_seconds.set(watermark / 1000);
        frames
    }

    fn close_interval(&mut self, start: i64, traces: &HashSet<u128>) -> Frame {
        let end = start + self.interval_ms;
        // In a fixed order, so that the same telemetry always gives the same frame.
        let mut ids: Vec<u128> = traces.iter().copied().collect();
        ids.sort_unstable();
        let mut whole = Pairing::default();
        for id in ids {
            let Some(trace) = self.traces.get_mut(id) else { continue };
            let one = pair(trace, end, &mut self.memory);
            whole.calls.extend(one.calls);
            whole.client_unmatched += one.client_unmatched;
            whole.server_unmatched += one.server_unmatched;
        }
        for (hosts, raw) in whole.calls.iter().filter_map(|c| c.delays.as_ref()) {
            self.skews.observe(hosts, *raw);
        }
        self.skews.end_interval();
        let completeness = self.count(&whole);
        let mut rpcs = Rpcs::default();
        for call in whole.calls {
            rpcs.add(call, &self.skews, self.config.rpcs_max, self.config.operations_max);
        }
        self.metrics.rpcs_overflowed.inc_by(rpcs.overflowed);
        let lateness = i64::try_from(self.config.lateness.as_millis()).unwrap_or(i64::MAX);
        self.traces.forget(end.saturating_sub(lateness));
        self.horizon = Some(end);
        self.closed += 1;
        self.metrics.frames.inc();
        Frame {
            interval: Interval { start: EventTime(start), end: EventTime(end) },
            rpcs: rpcs.close(),
            services: self.resources.close(start),
            completeness,
        }
    }

    /// Counts what was paired; returns the share of halves that could be placed.
    fn count(&self, pairing: &Pairing) -> f64 {
        let m = &self.metrics;
        m.rpcs.inc_by(pairing.calls.len() as u64);
        let unmatched =
            [("client", pairing.client_unmatched), ("server", pairing.server_unmatched)];
        for (half, count) in unmatched {
            m.unmatched.get_or_create(&HalfLabels { half }).inc_by(count);
        }
        // Unmatched server halves are placed, as requests from outside, but their caller is not.
        let lost = (pairing.client_unmatched + pairing.server_unmatched) as f64;
        let placed = pairing.calls.len() as f64;
        let ratio = if placed + lost > 0.0 { placed / (placed + lost) } else { 1.0 };
        m.completeness_ratio.set(ratio);
        ratio
    }

    /// How far things are.
    pub fn progress(&self) -> Progress {
        Progress {
            watermark: self.watermark.current().map(EventTime),
            horizon: self.horizon.map(EventTime),
            open: self.open.len(),
            closed: self.closed,
        }
    }
}
