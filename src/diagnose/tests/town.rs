//! An application whose latencies are sums, and frames of it with every kind of trouble.
//!
//! Server latency of an RPC = what its service takes by itself + the client latencies of its
//! children. By itself a service takes its base, a millisecond for each unit that a metric is above
//! normal, and what no metric shows. Client latency = server latency + delays of the network. All
//! milliseconds are those of the 99th percentile.

use crate::data::{
    EventTime, FeatureWindow, Frame, Interval, Percentiles, Replica, Resource, Role, RpcKey,
    RpcKind, RpcWindow, Scale, Scope, ServiceWindow, Signal,
};
use crate::graph::{CausalNet, RpcGraph};

/// Percentiles of a latency of 1 ms.
const SHAPE: [f32; 5] = [0.5, 0.625, 0.75, 0.875, 1.0];
/// Every metric in peace.
pub(super) const LEVEL: f64 = 1.0;
/// Both delays of an RPC together in peace, milliseconds.
pub(super) const DELAY_MS: f64 = 0.4;
/// Length of an interval, milliseconds.
pub(super) const INTERVAL_MS: i64 = 30_000;
/// When frame 0 begins: 2026-08-01.
pub(super) const EPOCH_MS: i64 = 1_785_542_400_000;

/// The metrics of every service, by name; one of each resource.
pub(super) const METRICS: [(&str, Role); 4] = [
    ("cpu_throttled", Role::Cpu),
    ("disk_stalls", Role::Disk),
    ("memory_faults", Role::Memory),
    ("network_retransmits", Role::Network),
];

/// front calls cart, search and ads; cart calls db, search and ads call cache.
const RPCS: [(&str, &str, &str, &str); 7] = [
    ("user", "", "front", "get"),
    ("front", "get", "cart", "list"),
    ("front", "get", "search", "find"),
    ("front", "get", "ads", "show"),
    ("cart", "list", "db", "read"),
    ("search", "find", "cache", "get"),
    ("ads", "show", "cache", "get"),
];

/// What each service takes by itself, milliseconds.
const BASE: [(&str, f64); 6] =
    [("ads", 2.0), ("cache", 2.0), ("cart", 4.0), ("db", 4.0), ("front", 4.0), ("search", 4.0)];

/// p99 of front when nothing is wrong: all bases, that of cache twice, and six times the delays.
pub(super) const CALM_MS: f64 = 24.4;

/// What is wrong in an interval.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// A service is short of a resource: that metric rises, and so does its latency.
    Short(&'static str, Resource, f64),
    /// The metric rises as far, and nobody waits for it.
    Loud(&'static str, Resource, f64),
    /// A service is slow, and no metric says why.
    Bug(&'static str, f64),
    /// What reaches a service is late.
    Inward(&'static str, f64),
    /// What reaches or leaves a service is late, each by so much.
    Links(&'static str, f64),
    /// A service takes this share of what its callees take too long on top: back-pressure.
    Pressed(&'static str, f64),
}

use Trouble::{Bug, Inward, Links, Loud, Pressed, Short};

/// The net of the application.
pub(super) fn net() -> CausalNet {
    let edges = RPCS.map(|(caller, op, callee, callee_op)| {
        let kind = if caller == "user" { RpcKind::ServerOnly } else { RpcKind::Paired };
        (RpcKey::new(caller, op, callee, callee_op), kind)
    });
    CausalNet::new(&RpcGraph::from_edges(edges))
}

/// What a service takes by itself in peace.
pub(super) fn base(service: &str) -> f64 {
    BASE.iter().find(|(s, _)| *s == service).map(|(_, ms)| *ms).unwrap()
}

/// Milliseconds as a distribution.
pub(super) fn percentiles(ms: f64) -> Percentiles {
    Percentiles(SHAPE.map(|s| s * ms as f32))
}

/// Frame number `n`, in which `troubles` hold.
pub(super) fn frame(n: i64, troubles: &[Trouble]) -> Frame {
    let net = net();
    let mut rpcs: Vec<RpcWindow> = Vec::new();
    let sums = sums(&net, n, troubles);
    for (i, rpc) in net.rpcs.iter().enumerate() {
        let (server, delay) = sums[i];
        rpcs.push(RpcWindow {
            key: rpc.key.clone(),
            kind: rpc.kind,
            count: 1000,
            failed: 0,
            seen_ratio: 1.0,
            client: percentiles(server + delay),
            server: percentiles(server),
            request: percentiles(delay / 2.0),
            response: percentiles(delay / 2.0),
        });
    }
    let start = EventTime(EPOCH_MS + n * INTERVAL_MS);
    Frame {
        interval: Interval { start, end: EventTime(start.0 + INTERVAL_MS) },
        rpcs,
        services: net.services.iter().map(|s| metrics(s, troubles)).collect(),
        completeness: 1.0,
        replicas: vec![],
    }
}

/// Server latency and delay of every RPC.
fn sums(net: &CausalNet, n: i64, troubles: &[Trouble]) -> Vec<(f64, f64)> {
    let mut now = vec![(0.0, 0.0); net.rpcs.len()];
    let mut calm = now.clone();
    let total = |all: &[(f64, f64)], of: &[usize]| -> f64 {
        of.iter().map(|k| all[*k].0 + all[*k].1).sum()
    };
    for &i in &net.order {
        let rpc = &net.rpcs[i];
        let (callee, caller) = (&*rpc.key.callee, &*rpc.key.caller);
        let is_paired = rpc.kind == RpcKind::Paired;
        let mut delay = if is_paired { DELAY_MS } else { 0.0 };
        calm[i] = (base(callee) + total(&calm, &rpc.children), delay);
        // Everything varies by one percent, the same way in every run.
        let mut own = base(callee) * (1.0 + 0.01 * ((n * 7 + i as i64) % 3 - 1) as f64);
        for trouble in troubles {
            match *trouble {
                Short(s, r, ms) if s == callee && r != Resource::Network => own += ms,
                Bug(s, ms) if s == callee => own += ms,
                Pressed(s, share) if s == callee => {
                    own += share * (total(&now, &rpc.children) - total(&calm, &rpc.children));
                }
                Inward(s, ms) if s == callee && is_paired => delay += ms,
                Links(s, ms) if (s == callee || s == caller) && is_paired => delay += ms,
                _ => {}
            }
        }
        now[i] = (own + total(&now, &rpc.children), delay);
    }
    now
}

/// The metrics of a service: two replicas, of which the first has the trouble.
fn metrics(service: &str, troubles: &[Trouble]) -> ServiceWindow {
    let feature = |(name, role): (&str, Role)| {
        let rise = |t: &Trouble| match *t {
            Short(s, r, ms) | Loud(s, r, ms) if s == service && role.resource() == Some(r) => ms,
            Inward(s, ms) | Links(s, ms) if s == service && role == Role::Network => ms,
            _ => 0.0,
        };
        let level = LEVEL + troubles.iter().map(rise).sum::<f64>();
        FeatureWindow {
            name: name.into(),
            role,
            signal: Signal::Saturation,
            scale: Scale::Log,
            scope: Scope::Service,
            percentiles: [level; 3],
            by_replica: vec![Some(level), Some(LEVEL)],
        }
    };
    let replica = |n: usize| Replica {
        name: format!("{service}-{n}").into(),
        node: format!("host-{n}").into(),
    };
    ServiceWindow {
        service: service.into(),
        replicas: vec![replica(0), replica(1)],
        features: METRICS.into_iter().map(feature).collect(),
    }
}
