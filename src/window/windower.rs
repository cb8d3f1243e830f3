//! Telemetry in, one [`Frame`] per interval out. Pure: time comes in with the data.

use std::time::Duration;

use super::config::Config;
use super::histograms::{self, Histograms, Offered};
use super::intervals::Intervals;
use super::memory::Memory;
use super::metrics::{HalfLabels, Metrics, ReasonLabels};
use super::names::{Id, Names, Recent};
use super::pace::Pace;
use super::pair::Pairing;
use super::resources::Resources;
use super::rpcs::{self, Closed};
use super::series::SeriesState;
use super::skew::Skews;
use super::traces::{Added, Traces, Waiting};
use super::watermark::Watermark;
use crate::data::{EventTime, Frame, Half, Interval, Name, PeerKind, RpcWindow, Series, Span};

/// How far the windows have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Event time before which nothing is expected any more.
    pub watermark: Option<EventTime>,
    /// Data before this moment comes too late.
    pub horizon: Option<EventTime>,
    /// How long the next interval will be, milliseconds.
    pub interval_ms: i64,
    /// Open parts of it and of later ones.
    pub open: usize,
    /// Frames closed since the start.
    pub closed: u64,
}

/// What a series is followed as.
enum Followed<'a> {
    Resource(&'a mut SeriesState),
    Latency(histograms::Followed<'a>),
}

/// Who sent a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sender {
    service: Id,
    replica: Id,
    node: Id,
}

impl Sender {
    /// Whose clock it is: the host, or as much as is known of it.
    fn host(self) -> Id {
        let ids = [self.node, self.replica, self.service];
        ids.into_iter().find(|id| !id.is_nothing()).unwrap_or(Id::NOTHING)
    }
}

/// Neighbouring spans of one sender.
#[derive(Debug)]
struct Run<'a> {
    sender: Sender,
    /// The first of them.
    span: Option<&'a Span>,
    newest_ms: i64,
    /// Of those that were in time.
    newest_admitted_ms: i64,
    /// Whether one is a server's half.
    serves: bool,
}

impl Default for Run<'_> {
    fn default() -> Self {
        let (newest_ms, newest_admitted_ms) = (i64::MIN, i64::MIN);
        Self { sender: Sender::default(), span: None, newest_ms, newest_admitted_ms, serves: false }
    }
}

/// The state of what `series` is followed as.
fn follow<'a>(
    resources: &'a mut Resources,
    histograms: &'a mut Histograms,
    series: &Series,
) -> Result<Followed<'a>, &'static str> {
    // Nothing that resources follow is a latency histogram: most need not be offered.
    let slot = match resources.find(&series.labels) {
        Some(slot) => slot,
        None => {
            match histograms.offer(series) {
                Offered::Foreign => {}
                Offered::Refused(reason) => return Err(reason),
                Offered::Taken(latency) => return Ok(Followed::Latency(latency)),
            }
            resources.follow(series)?
        }
    };
    resources.state(slot).map(Followed::Resource).ok_or("unbound")
}

/// Spans of the same trace right behind the first one.
fn alike(spans: &[Span]) -> usize {
    let Some((first, rest)) = spans.split_first() else { return 0 };
    rest.iter().take_while(|span| span.trace == first.trace).count()
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// No histogram is followed yet.
pub(super) fn follow_histograms(config: &Config) -> Histograms {
    let (interval_ms, stale_ms) = (ms(config.interval), ms(config.stale_after));
    Histograms::new(&config.histograms, interval_ms, stale_ms, config.remembered_max)
}

/// The state of all open intervals.
#[derive(Debug)]
pub struct Windower {
    pub(super) config: Config,
    pub(super) intervals: Intervals,
    pace: Pace,
    watermark: Watermark,
    pub(super) names: Names,
    recent: Recent,
    pub(super) traces: Traces,
    pub(super) memory: Memory,
    pub(super) skews: Skews,
    pub(super) resources: Resources,
    pub(super) histograms: Histograms,
    closed: u64,
    pub(super) metrics: Metrics,
    /// Votes for the time in samples: all of it is the scraper's, whoever they describe.
    scraper: Name,
}

impl Windower {
    /// Starts with nothing open.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        Self {
            histograms: follow_histograms(config),
            intervals: Intervals::new(ms(config.interval), config.open_intervals_max),
            pace: Pace::new(config),
            watermark: Watermark::new(ms(config.lateness)),
            traces: Traces::new(config.spans_waiting_max),
            names: Names::default(),
            recent: Recent::default(),
            memory: Memory::new(config.remembered_max),
            skews: Skews::new(config.remembered_max),
            resources: Resources::new(config),
            closed: 0,
            config: config.clone(),
            metrics,
            scraper: "remote_write".into(),
        }
    }

    /// Goes on after `frames`, oldest first: nothing before the end of the last is taken any more.
    #[must_use]
    pub fn resume_after<'a>(mut self, frames: impl IntoIterator<Item = &'a Frame>) -> Self {
        for frame in frames {
            self.intervals.resume_at(frame.interval.end);
            self.pace.observe(frame);
        }
        self
    }

    /// Takes spans; `now` is the wall clock since any fixed moment, for time-outs only.
    pub fn push_spans(&mut self, spans: &[Span], now: Duration) {
        self.recent.begin();
        let mut run = Run::default();
        // How many more of its trace come right after a span.
        let mut more = 0;
        for (at, span) in spans.iter().enumerate() {
            more = if more > 0 { more - 1 } else { alike(&spans[at..]) };
            let sender = self.sender(span);
            if run.span.is_none() || run.sender != sender {
                self.end_run(&run, now);
                run = Run { sender, span: Some(span), ..Run::default() };
            }
            let end = EventTime::from_nanos(span.end_ns);
            run.newest_ms = run.newest_ms.max(end.0);
            let start = match self.intervals.admit(end) {
                Ok(start) => start,
                Err(reason) => {
                    self.metrics.drop_items("span", reason, 1);
                    continue;
                }
            };
            run.newest_admitted_ms = run.newest_admitted_ms.max(end.0);
            run.serves |= matches!(span.half, Half::Server | Half::Consumer);
            let waiting = self.waiting(span, sender);
            match self.traces.add(span.trace, waiting, start, more) {
                Added::Waits => {}
                Added::WaitsUnnoted => self.intervals.note(start, span.trace),
                Added::Duplicate => self.metrics.drop_items("span", "duplicate", 1),
                Added::Refused => self.metrics.drop_items("span", "trace_limit", 1),
            }
        }
        self.end_run(&run, now);
        self.keep_to_limits();
    }

    fn sender(&mut self, span: &Span) -> Sender {
        let mut id = |name| self.recent.get(name, &mut self.names);
        Sender { service: id(&span.service), replica: id(&span.replica), node: id(&span.node) }
    }

    /// A span with its names as numbers.
    fn waiting(&mut self, span: &Span, sender: Sender) -> Waiting {
        let peer = span.peer.as_ref();
        Waiting {
            id: span.id,
            parent: span.parent,
            start_ns: span.start_ns,
            end_ns: span.end_ns,
            service: sender.service,
            replica: sender.replica,
            host: sender.host(),
            op: self.recent.get(&span.op, &mut self.names),
            peer: peer.map_or(Id::NOTHING, |p| self.recent.get(&p.name, &mut self.names)),
            half: span.half,
            is_database: peer.is_some_and(|p| p.kind == PeerKind::Database),
            failed: span.failed,
            weight: span.weight.unwrap_or(0.0),
            placed: false,
            missed: false,
        }
    }

    /// What the spans of a run say about their sender, once for all of them.
    fn end_run(&mut self, run: &Run, now: Duration) {
        let Some(span) = run.span else { return };
        // Clocks vote, not services: everything on one host is as fast or slow as its clock.
        let voter = self.names.name(run.sender.host());
        self.watermark.observe(voter, run.newest_ms, now);
        if run.serves {
            self.memory.instrument(run.sender.service);
        }
        if run.newest_admitted_ms > i64::MIN {
            let (service, replica, node) = (&span.service, &span.replica, &span.node);
            self.resources.locate(service, replica, node, run.newest_admitted_ms);
        }
    }

    /// Takes series; `now` as in [`Windower::push_spans`].
    pub fn push_series(&mut self, series: &[Series], now: Duration) {
        let mut newest_ms = None;
        for one in series {
            let (metrics, intervals) = (&self.metrics, &mut self.intervals);
            let mut followed = match follow(&mut self.resources, &mut self.histograms, one) {
                Ok(followed) => followed,
                Err(reason) => {
                    metrics.series_dropped.get_or_create(&ReasonLabels { reason }).inc();
                    continue;
                }
            };
            for sample in &*one.samples {
                newest_ms = newest_ms.max(Some(sample.time_ms));
                let taken = intervals.admit(EventTime(sample.time_ms)).and_then(|start| {
                    intervals.open(start);
                    match &mut followed {
                        Followed::Resource(state) => state.push(*sample),
                        Followed::Latency(latency) => latency.push(*sample),
                    }
                });
                if let Err(reason) = taken {
                    metrics.drop_items("sample", reason, 1);
                }
            }
            let Followed::Latency(mut latency) = followed else { continue };
            for histogram in &one.histograms {
                newest_ms = newest_ms.max(Some(histogram.time_ms));
                let taken = intervals.admit(EventTime(histogram.time_ms)).and_then(|start| {
                    intervals.open(start);
                    latency.push_native(histogram)
                });
                if let Err(reason) = taken {
                    metrics.drop_items("histogram", reason, 1);
                }
            }
        }
        if let Some(newest_ms) = newest_ms {
            self.watermark.observe(&self.scraper, newest_ms, now);
        }
        self.show();
    }

    /// Closes every interval the watermark has passed, oldest first.
    pub fn close(&mut self, now: Duration) -> Vec<Frame> {
        let Some(watermark) = self.watermark.advance(now) else { return Vec::new() };
        let mut frames = Vec::new();
        while let Some((interval, traces)) =
            self.intervals.close_before(watermark, self.pace.times())
        {
            let frame = self.close_interval(interval, &traces, watermark);
            self.pace.observe(&frame);
            frames.push(frame);
        }
        self.metrics.open_intervals.set(self.intervals.len() as i64);
        self.metrics.interval_seconds.set(self.pace.length_ms() as f64 / 1000.0);
        self.metrics.watermark_seconds.set(watermark / 1000);
        frames
    }

    fn close_interval(&mut self, interval: Interval, traces: &[u128], watermark: i64) -> Frame {
        let end = interval.end.0;
        let mut whole = Pairing::default();
        // There are no more calls than spans, and room that is not used costs nothing but addresses: without
        // it, calls are held twice whenever there is no more room.
        whole.calls.reserve(self.traces.waiting());
        for id in traces {
            if let Some(trace) = self.traces.get_mut(*id) {
                whole.add(trace, end, &mut self.memory);
            }
        }
        for (hosts, raw) in whole.calls.iter().filter_map(|c| c.delays) {
            self.skews.observe(hosts, raw);
        }
        self.skews.end_interval();
        let completeness = self.count(&whole);
        let Config { rpcs_max, operations_max, .. } = self.config;
        let limits = rpcs::Limits { rpcs: rpcs_max, operations: operations_max };
        let Closed { rpcs, mut replicas, overflowed } =
            rpcs::close(&whole.calls, &self.skews, limits, &self.names);
        drop(whole);
        self.metrics.rpcs_overflowed.inc_by(overflowed);
        let rpcs = self.complete(rpcs, interval, watermark);
        self.traces.forget(end.saturating_sub(ms(self.config.lateness)));
        if self.names.has_doubled() {
            self.sweep();
        }
        self.closed += 1;
        self.metrics.frames.inc();
        for of in &mut replicas {
            of.replica.node = self.resources.node_of(&of.service, &of.replica.name);
        }
        Frame { interval, rpcs, services: self.resources.close(interval), completeness, replicas }
    }

    /// Adds the RPCs that histograms show and spans do not.
    fn complete(
        &mut self,
        mut rpcs: Vec<RpcWindow>,
        interval: Interval,
        watermark: i64,
    ) -> Vec<RpcWindow> {
        let ops_max = self.config.operations_max;
        let mut assembled = self.histograms.close(interval, watermark, &rpcs, ops_max);
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
            interval_ms: self.pace.length_ms(),
            open: self.intervals.len(),
            closed: self.closed,
        }
    }
}
