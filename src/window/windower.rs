//! Telemetry in, one [`Frame`] per interval out. Pure: time comes in with the data.

use std::collections::HashSet;
use std::time::Duration;

use super::config::Config;
use super::histograms::{self, Histograms, Offered};
use super::intervals::Intervals;
use super::metrics::{HalfLabels, Metrics, ReasonLabels};
use super::pair::{Memory, Pairing, pair};
use super::resources::Resources;
use super::rpcs::Rpcs;
use super::series::SeriesState;
use super::skew::Skews;
use super::traces::{Added, Traces};
use super::watermark::Watermark;
use crate::data::{EventTime, Frame, Half, Interval, Name, RpcWindow, Series, Span};

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

/// What a series is followed as.
enum Followed<'a> {
    Resource(&'a mut SeriesState),
    Latency(histograms::Followed<'a>),
}

/// The state of all open intervals.
#[derive(Debug)]
pub struct Windower {
    config: Config,
    intervals: Intervals,
    watermark: Watermark,
    traces: Traces,
    memory: Memory,
    skews: Skews,
    resources: Resources,
    histograms: Histograms,
    closed: u64,
    metrics: Metrics,
    /// Votes for the time in samples: all of it is the scraper's, whoever they describe.
    scraper: Name,
}

impl Windower {
    /// Starts with nothing open.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        let (interval_ms, stale_ms) = (ms(config.interval), ms(config.stale_after));
        Self {
            histograms: Histograms::new(&config.histograms, interval_ms, stale_ms),
            intervals: Intervals::new(ms(config.interval), config.open_intervals_max),
            watermark: Watermark::new(ms(config.lateness)),
            traces: Traces::new(config.spans_waiting_max),
            memory: Memory::default(),
            skews: Skews::default(),
            resources: Resources::new(config),
            closed: 0,
            config: config.clone(),
            metrics,
            scraper: "remote_write".into(),
        }
    }

    /// Nothing before `horizon` is taken any more: frames up to there are closed already.
    #[must_use]
    pub fn resume_at(mut self, horizon: EventTime) -> Self {
        self.intervals.resume_at(horizon);
        self
    }

    /// Takes spans; `now` is the wall clock since any fixed moment, for time-outs only.
    pub fn push_spans(&mut self, spans: Vec<Span>, now: Duration) {
        for span in spans {
            let end = EventTime::from_nanos(span.end_ns);
            // Clocks vote, not services: everything on one host is as fast or slow as its clock.
            let voter = [&span.node, &span.replica, &span.service];
            let voter = voter.into_iter().find(|n| !n.is_empty()).unwrap_or(&span.service);
            self.watermark.observe(voter, end.0, now);
            let start = match self.intervals.admit(end) {
                Ok(start) => start,
                Err(reason) => {
                    self.metrics.drop_items("span", reason, 1);
                    continue;
                }
            };
            if matches!(span.half, Half::Server | Half::Consumer) {
                self.memory.instrument(&span.service);
            }
            self.resources.locate(&span.service, &span.replica, &span.node, end.0);
            let trace = span.trace;
            match self.traces.add(span) {
                Added::Waits => {
                    self.intervals.open(start).insert(trace);
                }
                Added::Duplicate => self.metrics.drop_items("span", "duplicate", 1),
                Added::Refused => self.metrics.drop_items("span", "trace_limit", 1),
            }
        }
        self.metrics.drop_items("span", "evicted", self.traces.evict());
        self.metrics.spans_waiting.set(self.traces.waiting() as i64);
    }

    /// Gives memory back: the older half of the spans that wait.
    pub fn relieve(&mut self) {
        self.metrics.drop_items("span", "memory", self.traces.relieve());
        self.metrics.spans_waiting.set(self.traces.waiting() as i64);
    }

    /// Takes series; `now` as in [`Windower::push_spans`].
    pub fn push_series(&mut self, series: &[Series], now: Duration) {
        for one in series {
            let followed = match self.histograms.offer(one) {
                Offered::Foreign => self.resources.follow(one).map(Followed::Resource),
                Offered::Refused(reason) => Err(reason),
                Offered::Taken(latency) => Ok(Followed::Latency(latency)),
            };
            let mut followed = match followed {
                Ok(followed) => followed,
                Err(reason) => {
                    self.metrics.series_dropped.get_or_create(&ReasonLabels { reason }).inc();
                    continue;
                }
            };
            for sample in &one.samples {
                self.watermark.observe(&self.scraper, sample.time_ms, now);
                let taken = self.intervals.admit(EventTime(sample.time_ms)).and_then(|start| {
                    self.intervals.open(start);
                    match &mut followed {
                        Followed::Resource(state) => state.push(*sample),
                        Followed::Latency(latency) => latency.push(*sample),
                    }
                });
                if let Err(reason) = taken {
                    self.metrics.drop_items("sample", reason, 1);
                }
            }
            let Followed::Latency(mut latency) = followed else { continue };
            for histogram in &one.histograms {
                self.watermark.observe(&self.scraper, histogram.time_ms, now);
                let taken = self.intervals.admit(EventTime(histogram.time_ms)).and_then(|start| {
                    self.intervals.open(start);
                    latency.push_native(histogram)
                });
                if let Err(reason) = taken {
                    self.metrics.drop_items("histogram", reason, 1);
                }
            }
        }
        self.metrics.series.set(self.resources.len() as i64);
        self.metrics.histograms.set(self.histograms.len() as i64);
    }

    /// Closes every interval the watermark has passed, oldest first.
    pub fn close(&mut self, now: Duration) -> Vec<Frame> {
        let Some(watermark) = self.watermark.advance(now) else { return Vec::new() };
        let mut frames = Vec::new();
        while let Some((start, traces)) = self.intervals.close_before(watermark) {
            frames.push(self.close_interval(start, &traces, watermark));
        }
        self.metrics.open_intervals.set(self.intervals.len() as i64);
        self.metrics.watermark_seconds.set(watermark / 1000);
        frames
    }

    fn close_interval(&mut self, start: i64, traces: &HashSet<u128>, watermark: i64) -> Frame {
        let end = start + self.intervals.length_ms();
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
        let rpcs = self.complete(rpcs.close(), start, watermark);
        let lateness = i64::try_from(self.config.lateness.as_millis()).unwrap_or(i64::MAX);
        self.traces.forget(end.saturating_sub(lateness));
        self.closed += 1;
        self.metrics.frames.inc();
        Frame {
            interval: Interval { start: EventTime(start), end: EventTime(end) },
            rpcs,
            services: self.resources.close(start),
            completeness,
        }
    }

    /// Adds the RPCs that histograms show and spans do not.
    fn complete(&mut self, mut rpcs: Vec<RpcWindow>, start: i64, watermark: i64) -> Vec<RpcWindow> {
        let ops_max = self.config.operations_max;
        let mut assembled = self.histograms.close(start, watermark, &rpcs, ops_max);
        self.metrics.count_assembled(&assembled);
        let room = self.config.rpcs_max.saturating_sub(rpcs.len());
        if assembled.rpcs.len() > room {
            // Distributions without samples cannot share the overflow RPC: the quietest are left out.
            assembled.rpcs.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
            let lost: u64 = assembled.rpcs.drain(room..).map(|rpc| rpc.count).sum();
            self.metrics.rpcs_overflowed.inc_by(lost);
        }
        rpcs.append(&mut assembled.rpcs);
        rpcs.sort_by(|a, b| a.key.cmp(&b.key));
        rpcs
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
            horizon: self.intervals.horizon(),
            open: self.intervals.len(),
            closed: self.closed,
        }
    }
}
