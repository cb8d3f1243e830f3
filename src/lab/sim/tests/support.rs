//! What the tests of the simulator share.

use std::time::Duration;

use crate::data::Series;
use crate::lab::sim::{
    AppSpec, CallSpec, Entry, Fault, FaultKind, Kind, Observation, OpSpec, ServiceSpec, SimConfig,
    Simulator, Step,
};

pub(super) const INTERVAL: Duration = Duration::from_secs(30);

/// The application after one quiet interval.
pub(super) fn settled(app: &AppSpec, config: SimConfig) -> Simulator {
    let mut sim = Simulator::new(app, config, 11, 1_700_000_000_000).unwrap();
    sim.run(INTERVAL, 1.0, &[]);
    sim
}

pub(super) fn untraced() -> SimConfig {
    SimConfig { trace_ratio: 0.0, ..SimConfig::default() }
}

pub(super) fn fault(app: &AppSpec, service: &str, kind: FaultKind, strength: f64) -> Fault {
    Fault { service: app.service(service).unwrap(), kind, strength, replica: None }
}

/// A noisy neighbour on a host.
pub(super) fn crowd(app: &AppSpec, host: usize, strength: f64) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (service, hosts) in app.hosts().into_iter().enumerate() {
        for replica in (0..hosts.len()).filter(|r| hosts[*r] == host) {
            let (kind, replica) = (FaultKind::NoisyNeighbour, Some(replica));
            faults.push(Fault { service, kind, strength, replica });
        }
    }
    faults
}

pub(super) fn p99(observation: &Observation) -> f64 {
    observation.truth.quantile_ms(0.99).unwrap()
}

/// Values of a service's metric in the order of time, replica by replica.
pub(super) fn values(seen: &[Observation], metric: &str, service: &str) -> Vec<Vec<f64>> {
    let mut pods: std::collections::BTreeMap<String, Vec<f64>> = Default::default();
    for series in seen.iter().flat_map(|o| &o.series) {
        let label = |name| series.label(name).unwrap_or("");
        if label("__name__") == metric && label("container") == service {
            let values = series.samples.iter().map(|s| s.value);
            pods.entry(label("pod").into()).or_default().extend(values);
        }
    }
    pods.into_values().collect()
}

/// How much a counter of a service grows between the first and the last scrape, all replicas
/// together.
pub(super) fn growth(seen: &[Observation], metric: &str, service: &str) -> f64 {
    values(seen, metric, service).iter().map(|v| grown(v)).sum()
}

/// How much a counter grows between the first and the last of these values.
pub(super) fn grown(values: &[f64]) -> f64 {
    values[values.len() - 1] - values[0]
}

/// How much a counter of a host grows between the first and the last scrape; `mode` is empty where
/// the metric has none.
pub(super) fn host_growth(seen: &[Observation], metric: &str, mode: &str, host: usize) -> f64 {
    let instance = format!("node-{host}:9100");
    let is_it = |s: &&Series| {
        let label = |name| s.label(name).unwrap_or("");
        label("__name__") == metric && label("mode") == mode && label("instance") == instance
    };
    let series = seen.iter().flat_map(|o| &o.series).filter(is_it);
    grown(&series.flat_map(|s| s.samples.iter().map(|v| v.value)).collect::<Vec<_>>())
}

/// Mean of a gauge of a service.
pub(super) fn level(seen: &[Observation], metric: &str, service: &str) -> f64 {
    let all = values(seen, metric, service).concat();
    all.iter().sum::<f64>() / all.len() as f64
}

/// A frontend with one worker thread that computes for exactly 10 ms and calls an uninstrumented
/// store that takes exactly 1 ms.
pub(super) fn toy(queue_in_span: bool) -> AppSpec {
    let service = |name: &str, kind, threads, op: &str, steps| ServiceSpec {
        name: name.into(),
        kind,
        replicas: 1,
        cores: 1,
        threads,
        memory_bytes: 1 << 20,
        memory_limit_bytes: 1 << 30,
        instrumented: kind == Kind::Frontend,
        queue_in_span,
        ops: vec![OpSpec { name: op.into(), steps }],
    };
    let cpu = |mean_us| Step::Cpu { mean_us, cv: 0.0 };
    let call = Step::Call(CallSpec { service: 1, op: 0, probability: 1.0, times: 1 });
    AppSpec {
        name: "toy".into(),
        services: vec![
            service("front", Kind::Frontend, 1, "/", vec![cpu(10_000.0), call]),
            service("store", Kind::Database, 8, "get", vec![cpu(1000.0)]),
        ],
        entries: vec![Entry { service: 0, op: 0, weight: 1.0 }],
        base_rate: 60.0,
        qos_quantile: 0.99,
        nodes: 1,
        network_us: 100.0,
    }
}
