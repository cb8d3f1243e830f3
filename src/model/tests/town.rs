//! Frames by hand: a net with every kind of RPC and random contents, and a chain with a fault whose
//! effect is known.

use std::sync::atomic::AtomicBool;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::data::{
    EventTime, FeatureWindow, Frame, Interval, Percentiles, Role, RpcKey, RpcKind, RpcWindow,
    Scale, Scope, ServiceWindow, Signal,
};
use crate::graph::{CausalNet, Latencies, Mechanism as _, Query, RpcGraph};
use crate::model::{Config, Error, Lesson, Model, fit};

use RpcKind::{ClientOnly, Messaging, Paired, ServerOnly};

/// caller, its operation, callee, its operation, kind, share of the busiest RPC's requests
type Row = (&'static str, &'static str, &'static str, &'static str, RpcKind, f64);

/// Two entries that share a tier, a child of every second request, a dark callee, a message, a
/// stream in both directions, and a caller that serves nothing itself.
const MIXED: [Row; 12] = [
    ("user", "", "front", "page", ServerOnly, 1.0),
    ("user", "", "front", "pay", ServerOnly, 0.5),
    ("front", "page", "cart", "list", Paired, 1.0),
    ("front", "page", "ads", "show", Paired, 0.5),
    ("front", "pay", "cart", "buy", Paired, 0.5),
    ("cart", "list", "mongo", "find", ClientOnly, 1.0),
    ("cart", "buy", "mongo", "find", ClientOnly, 0.5),
    ("cart", "buy", "mail", "send", Messaging, 0.5),
    ("mail", "send", "smtp", "relay", Paired, 0.5),
    ("ads", "show", "bids", "ask", Paired, 0.5),
    ("bids", "ask", "ads", "show", Paired, 0.5),
    ("cron", "", "cart", "list", Paired, 0.2),
];

const METRICS: [(&str, Role); 6] = [
    ("cpu_throttled", Role::Cpu),
    ("disk_stalls", Role::Disk),
    ("memory_faults", Role::Memory),
    ("network_drops", Role::Network),
    ("network_retransmits", Role::Network),
    ("requests_in", Role::Load),
];

/// An application that was watched for a while.
pub(super) struct Town {
    pub(super) net: CausalNet,
    pub(super) frames: Vec<Frame>,
    pub(super) met: Vec<bool>,
}

impl Town {
    pub(super) fn frames(&self) -> Vec<&Frame> {
        self.frames.iter().collect()
    }

    pub(super) fn fit(&self, config: &Config) -> Result<Model, Error> {
        self.fit_until(config, &|_| {}, &AtomicBool::new(false))
    }

    pub(super) fn fit_until(
        &self,
        config: &Config,
        progress: &dyn Fn(f32),
        cancel: &AtomicBool,
    ) -> Result<Model, Error> {
        let frames = self.frames();
        fit(&Lesson { frames: &frames, met: &self.met, net: &self.net }, config, progress, cancel)
    }
}

/// All latencies in the world of each query.
pub(super) fn worlds(
    model: &Model,
    seen: &Frame,
    normal: &Frame,
    queries: &[Query],
) -> Vec<Latencies> {
    let all: Vec<usize> = (0..model.net.rpcs.len()).collect();
    model.abduct(seen, normal).answer(queries, &all)
}

/// A training too short to learn much.
pub(super) fn brief(seed: u64) -> Config {
    Config { seed, steps: [6, 4], ..Config::default() }
}

fn net(rows: &[Row]) -> CausalNet {
    let edges = rows.iter().map(|(a, a_op, b, op, kind, _)| (RpcKey::new(a, a_op, b, op), *kind));
    CausalNet::new(&RpcGraph::from_edges(edges))
}

fn interval(n: usize) -> Interval {
    let start = EventTime(n as i64 * 30_000);
    Interval { start, end: EventTime(start.0 + 30_000) }
}

pub(super) fn feature(name: &str, role: Role, level: f64) -> FeatureWindow {
    FeatureWindow {
        name: name.into(),
        role,
        signal: Signal::Saturation,
        scale: Scale::Log,
        scope: Scope::Service,
        percentiles: [level; 3],
        by_replica: Vec::new(),
    }
}

/// Five ascending values from about `ms` on.
fn ascending(ms: f64, rng: &mut SmallRng) -> Percentiles {
    let mut value = ms * rng.random_range(0.7..1.4);
    Percentiles(std::array::from_fn(|_| {
        value *= rng.random_range(1.0..1.6);
        value as f32
    }))
}

/// Random latencies, metrics and loads; one RPC in eight is absent from a frame.
pub(super) fn mixed(count: usize, seed: u64) -> Town {
    let net = net(&MIXED);
    let mut rng = SmallRng::seed_from_u64(seed);
    let frame = |n: usize, rng: &mut SmallRng| {
        let load = rng.random_range(0.5..2.0);
        let mut rpcs = Vec::new();
        for rpc in &net.rpcs {
            let share = MIXED
                .iter()
                .find(|r| (r.0, r.2, r.3) == (&*rpc.key.caller, &*rpc.key.callee, &*rpc.key.op));
            if n > 0 && rng.random_bool(0.125) {
                continue;
            }
            let server = ascending(10.0, rng);
            let is_both = matches!(rpc.kind, Paired | Messaging);
            let [client, request, response] = [20.0, 0.3, 0.2].map(|ms| ascending(ms, rng));
            let is_paired = rpc.kind == Paired;
            let delay = |p: Percentiles| if is_paired { p } else { Percentiles::default() };
            rpcs.push(RpcWindow {
                key: rpc.key.clone(),
                kind: rpc.kind,
                count: (1000.0 * load * share.unwrap().5) as u64,
                failed: 0,
                seen_ratio: 1.0,
                client: if is_both { client } else { server },
                server,
                request: delay(request),
                response: delay(response),
            });
        }
        // Of one service there are no metrics.
        let known = net.services.iter().filter(|service| &***service != "cron");
        let services = known.map(|service| ServiceWindow {
            service: service.clone(),
            replicas: Vec::new(),
            features: METRICS
                .map(|(m, role)| feature(m, role, rng.random_range(0.1..9.0)))
                .to_vec(),
        });
        let services = services.collect();
        Frame { interval: interval(n), rpcs, services, completeness: 1.0, replicas: vec![] }
    };
    let frames: Vec<Frame> = (0..count).map(|n| frame(n, &mut rng)).collect();
    let met = (0..count).map(|n| n % 3 != 0).collect();
    Town { net, frames, met }
}

const CHAIN: [Row; 3] = [
    ("user", "", "front", "get", ServerOnly, 1.0),
    ("front", "get", "cart", "list", Paired, 1.0),
    ("cart", "list", "db", "read", Paired, 1.0),
];
/// Latency of each tier's own work in peace, and how much longer a troubled database takes.
pub(super) const OWN_MS: f64 = 5.0;
pub(super) const TROUBLE_MS: f64 = 400.0;

/// user -> front -> cart -> db. In one frame of four the database is short of processor time.
/// `metrics` gives what each service shows: (service, is the database in trouble, noise).
pub(super) fn chain(
    count: usize,
    seed: u64,
    metrics: impl Fn(&str, bool, f64) -> Vec<FeatureWindow>,
) -> Town {
    let net = net(&CHAIN);
    let mut rng = SmallRng::seed_from_u64(seed);
    let (mut frames, mut met) = (Vec::new(), Vec::new());
    for n in 0..count {
        let is_troubled = n % 4 == 3;
        let mut noise = || rng.random_range(0.95..1.05);
        let mut below = if is_troubled { TROUBLE_MS } else { 0.0 };
        let mut rpcs = Vec::new();
        for &i in &net.order {
            let server = OWN_MS * noise() + below;
            let delay = if net.rpcs[i].kind == Paired { 0.4 * noise() } else { 0.0 };
            below = server + delay;
            let spread = |ms: f64| Percentiles([0.6, 0.7, 0.8, 0.9, 1.0].map(|s| (s * ms) as f32));
            rpcs.push(RpcWindow {
                key: net.rpcs[i].key.clone(),
                kind: net.rpcs[i].kind,
                count: (1000.0 * noise()) as u64,
                failed: 0,
                seen_ratio: 1.0,
                client: spread(below),
                server: spread(server),
                request: spread(delay / 2.0),
                response: spread(delay / 2.0),
            });
        }
        rpcs.sort_by(|a, b| a.key.cmp(&b.key));
        let services = net.services.iter().map(|service| ServiceWindow {
            service: service.clone(),
            replicas: Vec::new(),
            features: metrics(service, is_troubled, noise()),
        });
        let services = services.collect();
        frames.push(Frame {
            interval: interval(n),
            rpcs,
            services,
            completeness: 1.0,
            replicas: vec![],
        });
        met.push(!is_troubled);
    }
    Town { net, frames, met }
}

/// The database's throttling rises with its trouble; nothing else moves.
pub(super) fn throttling(service: &str, is_troubled: bool, noise: f64) -> Vec<FeatureWindow> {
    let level = if is_troubled && service == "db" { 40.0 } else { 1.0 };
    vec![feature("cpu_throttled", Role::Cpu, level * noise)]
}
