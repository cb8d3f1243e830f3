//! Spans -> the latency histograms of a service graph, as Tempo's metrics generator and the
//! collector's service graph connector make them.
//!
//! In: spans in the order they ended. Out: series as they are scraped. Absent on purpose: I/O, clocks.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data::{EventTime, Half, Histogram, Labels, Name, PeerKind, Sample, Series, Span};

/// How long a half waits for the other one before it is taken for one of a virtual node.
const PATIENCE_MS: i64 = 10_000;
/// Metrics of the two sides.
const METRICS: [&str; 2] =
    ["traces_service_graph_request_client_seconds", "traces_service_graph_request_server_seconds"];

/// The bounds of its histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Buckets {
    /// Tempo's defaults: 100 ms and its doubles up to 12.8 s.
    Tempo,
    /// The collector's defaults: sixteen from 2 ms to 15 s.
    Collector,
    /// Those of Istio's proxies: nineteen from 0.5 ms to an hour.
    Istio,
    /// Native histograms whose buckets grow by 9 %, as Tempo's do.
    Native,
}

impl Buckets {
    /// Upper bounds in seconds, ascending, without the infinite one.
    fn bounds(self) -> Vec<f64> {
        let of_ms = |bounds: &[f64]| bounds.iter().map(|ms| ms / 1000.0).collect();
        match self {
            Self::Tempo => (0..8).map(|i| 0.1 * f64::from(1 << i)).collect(),
            Self::Collector => of_ms(&[
                2.0, 4.0, 6.0, 8.0, 10.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1000.0, 1400.0, 2000.0,
                5000.0, 10_000.0, 15_000.0,
            ]),
            Self::Istio => of_ms(&[
                0.5,
                1.0,
                5.0,
                10.0,
                25.0,
                50.0,
                100.0,
                250.0,
                500.0,
                1000.0,
                2500.0,
                5000.0,
                10_000.0,
                30_000.0,
                60_000.0,
                300_000.0,
                600_000.0,
                1_800_000.0,
                3_600_000.0,
            ]),
            // 2^(1/8): schema 3, from 60 us to 64 s.
            Self::Native => (-112..=48).map(|i| (f64::from(i) / 8.0).exp2()).collect(),
        }
    }
}

/// One side of an edge: requests up to each bound, and all of them.
type Counts = Vec<f64>;

/// Client, server and type of the connection.
type Ends = (Name, Name, &'static str);

/// What is scraped of one side of an edge.
type Scraped = Vec<(i64, Counts)>;

/// A half that waits for the other one.
#[derive(Clone, Debug)]
struct Waiting {
    service: Name,
    seconds: f64,
    half: Half,
}

/// A generator of service graphs.
#[derive(Clone, Debug)]
pub struct ServiceGraph {
    is_native: bool,
    bounds: Vec<f64>,
    every_ms: i64,
    scraped_ms: Option<i64>,
    waiting: HashMap<(u128, u64), Waiting>,
    /// In the order they are given up.
    patience: VecDeque<(i64, (u128, u64))>,
    edges: BTreeMap<Ends, [Counts; 2]>,
}

impl ServiceGraph {
    /// A generator that is scraped `every` so often.
    pub fn new(buckets: Buckets, every: Duration) -> Self {
        Self {
            is_native: buckets == Buckets::Native,
            bounds: buckets.bounds(),
            every_ms: i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1),
            scraped_ms: None,
            waiting: HashMap::new(),
            patience: VecDeque::new(),
            edges: BTreeMap::new(),
        }
    }

    /// Takes the spans that ended before `end`, in the order they ended; gives what was scraped.
    pub fn push(&mut self, spans: &[Span], end: EventTime) -> Vec<Series> {
        let mut scraped: BTreeMap<(Ends, usize), Scraped> = BTreeMap::new();
        for span in spans {
            self.pass(EventTime::from_nanos(span.end_ns).0, &mut scraped);
            self.take(span);
        }
        self.pass(end.0, &mut scraped);
        scraped.iter().flat_map(|((ends, side), values)| self.series(ends, *side, values)).collect()
    }

    /// Time goes on to `now_ms`: halves lose their patience, and scrapes happen.
    fn pass(&mut self, now_ms: i64, scraped: &mut BTreeMap<(Ends, usize), Scraped>) {
        // Scrapes happen when they happen, not where intervals begin.
        let phase = self.every_ms / 2;
        let mut next = match self.scraped_ms {
            Some(last) => last + self.every_ms,
            None => (now_ms - phase).div_euclid(self.every_ms) * self.every_ms + phase,
        };
        while next < now_ms {
            self.give_up(next);
            for (ends, sides) in &self.edges {
                for (side, counts) in sides.iter().enumerate() {
                    scraped.entry((ends.clone(), side)).or_default().push((next, counts.clone()));
                }
            }
            self.scraped_ms = Some(next);
            next += self.every_ms;
        }
        self.give_up(now_ms);
    }

    /// Halves that waited too long are those of users.
    fn give_up(&mut self, now_ms: i64) {
        while let Some((_, key)) = self.patience.pop_front_if(|(until, _)| *until <= now_ms) {
            let Some(half) = self.waiting.remove(&key) else { continue };
            // Only a request without a parent comes from outside.
            if half.half == Half::Server && key.1 == 0 {
                let ends = ("user".into(), half.service, "virtual_node");
                self.count(ends, [0.0, half.seconds]);
            }
        }
    }

    fn take(&mut self, span: &Span) {
        let seconds = span.duration_ns() as f64 / 1e9;
        let id = match span.half {
            Half::Internal => return,
            Half::Client | Half::Producer => span.id,
            Half::Server | Half::Consumer => span.parent,
        };
        if let Some(peer) = span.peer.as_ref().filter(|p| p.kind == PeerKind::Database) {
            let ends = (span.service.clone(), peer.name.clone(), "database");
            return self.count(ends, [seconds, seconds]);
        }
        let is_sender = matches!(span.half, Half::Client | Half::Producer);
        let key = (span.trace, id);
        match self.waiting.remove(&key) {
            Some(other) if is_sender != matches!(other.half, Half::Client | Half::Producer) => {
                let mine = (span.service.clone(), seconds);
                let theirs = (other.service, other.seconds);
                let (client, server) = if is_sender { (mine, theirs) } else { (theirs, mine) };
                let is_message = matches!(span.half, Half::Producer | Half::Consumer);
                let kind = if is_message { "messaging_system" } else { "" };
                self.count((client.0, server.0, kind), [client.1, server.1]);
            }
            _ => {
                let half = Waiting { service: span.service.clone(), seconds, half: span.half };
                self.waiting.insert(key, half);
                let until = EventTime::from_nanos(span.end_ns).0.saturating_add(PATIENCE_MS);
                self.patience.push_back((until, key));
            }
        }
    }

    fn count(&mut self, ends: Ends, seconds: [f64; 2]) {
        let width = self.bounds.len() + 1;
        let sides = self.edges.entry(ends).or_insert_with(|| [vec![0.0; width], vec![0.0; width]]);
        for (counts, seconds) in sides.iter_mut().zip(seconds) {
            counts[self.bounds.partition_point(|b| *b < seconds)] += 1.0;
        }
    }

    fn series(&self, ends: &Ends, side: usize, scraped: &Scraped) -> Vec<Series> {
        let (client, server, kind) = ends;
        let labels = |name: String, le: Option<String>| -> Labels {
            let mut labels: Vec<(Name, Name)> =
                vec![("__name__".into(), name.into()), ("client".into(), client.clone())];
            // An empty label is none.
            if !kind.is_empty() {
                labels.push(("connection_type".into(), (*kind).into()));
            }
            labels.extend(le.map(|le| ("le".into(), le.into())));
            labels.push(("server".into(), server.clone()));
            labels.into()
        };
        if self.is_native {
            let histograms = scraped.iter().map(|(time_ms, counts)| self.native(*time_ms, counts));
            let labels = labels(METRICS[side].into(), None);
            return vec![Series { labels, histograms: histograms.collect(), ..Series::default() }];
        }
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_string()]);
        bounds
            .enumerate()
            .map(|(i, le)| {
                let sample = |(time_ms, counts): &(i64, Counts)| Sample {
                    time_ms: *time_ms,
                    value: counts[..=i].iter().sum(),
                };
                Series {
                    labels: labels(format!("{}_bucket", METRICS[side]), Some(le)),
                    samples: scraped.iter().map(sample).collect(),
                    ..Series::default()
                }
            })
            .collect()
    }

    fn native(&self, time_ms: i64, counts: &Counts) -> Histogram {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        Histogram {
            time_ms,
            count: counts.iter().sum(),
            // Nobody reads it.
            sum: 0.0,
            buckets: bounds.zip(counts.iter().copied()).collect(),
            reset: crate::data::ResetHint::Unknown,
        }
    }
}
