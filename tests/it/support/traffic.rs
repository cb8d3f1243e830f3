//! A simulated application in event time that sends real bytes to a sidecar.

use std::net::SocketAddr;
use std::time::Duration;

use sage::data::{EventTime, Half, Name, Span};
use sage::lab::sim::{AppSpec, Fault, SimConfig, Simulator, chain};
use sage::lab::wire::{Api, Buckets, ServiceGraph, SpanSender};
use sage::lab::{Schedule, Weather};

pub(crate) const INTERVAL: Duration = Duration::from_secs(30);
/// A day long past: event time owes nothing to the clock.
const START: EventTime = EventTime(1_700_000_010_000);

pub(crate) struct Traffic {
    pub(crate) spec: AppSpec,
    pub(crate) simulator: Simulator,
    schedule: Schedule,
    api: Api,
    spans: SpanSender,
    graph: Option<ServiceGraph>,
}

impl Traffic {
    pub(crate) async fn new(http: SocketAddr, otlp_grpc: SocketAddr, seed: u64) -> Self {
        let spec = chain();
        let simulator = Simulator::new(&spec, SimConfig::default(), seed, START.0).unwrap();
        let schedule = Schedule::new(&spec, Weather::default(), seed);
        let spans = SpanSender::connect(otlp_grpc).await.unwrap();
        Self { spec, simulator, schedule, api: Api::new(http), spans, graph: None }
    }

    /// The same, but spans stay with a generator of service graphs, whose histograms are sent.
    pub(crate) fn without_spans(mut self, buckets: Buckets) -> Self {
        self.graph = Some(ServiceGraph::new(buckets, SimConfig::default().scrape_every));
        self
    }

    /// Goes on with another sidecar, or the same one after a restart.
    pub(crate) async fn reconnect(&mut self, http: SocketAddr, otlp_grpc: SocketAddr) {
        self.api = Api::new(http);
        self.spans = SpanSender::connect(otlp_grpc).await.unwrap();
    }

    pub(crate) fn now(&self) -> EventTime {
        self.simulator.now()
    }

    pub(crate) fn service(&self, index: usize) -> &str {
        &self.spec.services[index].name
    }

    /// Everyday traffic with faults that come and go.
    pub(crate) async fn everyday(&mut self, intervals: usize) {
        for _ in 0..intervals {
            let minute = self.schedule.next_minute();
            self.interval(minute.load, &minute.faults).await;
        }
    }

    /// One interval with these faults.
    pub(crate) async fn interval(&mut self, load: f64, faults: &[Fault]) {
        let observation = self.simulator.run(INTERVAL, load, faults);
        if let Some(graph) = &mut self.graph {
            let latencies = graph.push(&observation.spans, observation.interval.end);
            self.api.write(&latencies).await.unwrap();
        } else {
            assert_eq!(self.spans.send(&observation.spans).await.unwrap(), 0, "spans rejected");
        }
        self.api.write(&observation.series).await.unwrap();
    }
}

/// One server span.
pub(crate) fn span(service: &str, trace: u128, id: u64, start: EventTime, ms: u64) -> Span {
    let start_ns = u64::try_from(start.0).unwrap() * 1_000_000;
    Span {
        trace,
        id,
        service: service.into(),
        op: "get".into(),
        half: Half::Server,
        start_ns,
        end_ns: start_ns + ms * 1_000_000,
        parent: 0,
        replica: Name::default(),
        node: Name::default(),
        peer: None,
        failed: false,
        weight: None,
    }
}
