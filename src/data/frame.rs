//! Everything measured in one interval.

use serde::{Deserialize, Serialize};

use super::feature::{Role, Scale, Scope, Signal};
use super::name::{Name, RpcKey};
use super::percentile::Percentiles;
use super::time::Interval;

/// How an RPC was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RpcKind {
    /// Both halves.
    Paired,
    /// The callee's half only: requests from outside, or from a caller that sends no spans.
    ServerOnly,
    /// The caller's half only: the callee is a virtual node (database, cache, foreign service).
    ClientOnly,
    /// A message: the producer does not wait for the consumer.
    Messaging,
}

/// One RPC in one interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RpcWindow {
    /// Which RPC.
    #[serde(flatten)]
    pub key: RpcKey,
    /// How it was observed.
    pub kind: RpcKind,
    /// Requests that ended in the interval; an estimate where traces are sampled.
    pub count: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Share of the requests that was seen, the others being estimated by it: 1 unless traces are sampled.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub seen_ratio: f32,
    /// Client-side latency, Y^c. Equals the server side when only that was seen.
    pub client: Percentiles,
    /// Server-side latency, Y^s. Equals the client side when only that was seen.
    pub server: Percentiles,
    /// Request delay, Y^req; zero unless paired.
    pub request: Percentiles,
    /// Response delay, Y^resp; zero unless paired.
    pub response: Percentiles,
}

fn all() -> f32 {
    1.0
}

fn is_all(ratio: &f32) -> bool {
    *ratio >= 1.0
}

/// One replica of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Replica {
    /// Pod, container or instance.
    pub name: Name,
    /// Its host, empty when unknown.
    pub node: Name,
}

/// Requests of one replica in one interval, of a service that has several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaWindow {
    /// Which service.
    pub service: Name,
    /// Which replica, as spans name it.
    #[serde(flatten)]
    pub replica: Replica,
    /// Requests that were seen.
    pub count: u64,
    /// Those of them that took at least the geometric mean of the median and the 95th percentile of their RPC.
    pub slow: u64,
}

impl ReplicaWindow {
    /// Share of its requests that were slow, with some as usual added, so that few prove nothing.
    pub fn slow_share(&self) -> f64 {
        /// About as many as elsewhere: a tenth.
        const USUAL: (f64, f64) = (2.0, 20.0);
        (self.slow as f64 + USUAL.0) / (self.count as f64 + USUAL.1)
    }
}

/// One feature of one service in one interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureWindow {
    /// Feature, as the feature table names it.
    pub name: Name,
    /// What it tells about.
    pub role: Role,
    /// What a high value means.
    pub signal: Signal,
    /// How levels compare.
    pub scale: Scale,
    /// Whether the service itself was measured, or its host, or it from outside.
    #[serde(default)]
    pub scope: Scope,
    /// Median, 90th and 100th percentile over the replicas (paper 3.3.1).
    pub percentiles: [f64; 3],
    /// Value of each replica, in the order of [`ServiceWindow::replicas`]; absent ones are null.
    pub by_replica: Vec<Option<f64>>,
}

/// A name on the heap, beside its text: counters and what the allocator adds.
const NAME_BYTES: usize = 32;

impl RpcWindow {
    fn held_bytes(&self) -> usize {
        let RpcKey { caller, caller_op, callee, op } = &self.key;
        let names = [caller, caller_op, callee, op];
        size_of::<Self>() + names.iter().map(|n| n.len() + NAME_BYTES).sum::<usize>()
    }
}

impl Replica {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.node.len() + 2 * NAME_BYTES
    }
}

impl ReplicaWindow {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.service.len() + NAME_BYTES + self.replica.held_bytes()
    }
}

impl ServiceWindow {
    fn held_bytes(&self) -> usize {
        let feature =
            |f: &FeatureWindow| size_of_val(f) + f.by_replica.len() * size_of::<Option<f64>>();
        size_of::<Self>()
            + self.replicas.iter().map(Replica::held_bytes).sum::<usize>()
            + self.features.iter().map(feature).sum::<usize>()
    }
}

impl FeatureWindow {
    /// Mean of the percentiles: one number that a single bad replica still moves.
    pub fn level(&self) -> f64 {
        self.percentiles.iter().sum::<f64>() / 3.0
    }
}

/// One service in one interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceWindow {
    /// Which service.
    pub service: Name,
    /// Its replicas, as far as samples or spans name them.
    pub replicas: Vec<Replica>,
    /// Its features, in the order of the feature table.
    pub features: Vec<FeatureWindow>,
}

/// Everything measured in one interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// When.
    pub interval: Interval,
    /// RPCs, sorted by key.
    pub rpcs: Vec<RpcWindow>,
    /// Services with samples, sorted by name.
    pub services: Vec<ServiceWindow>,
    /// Share of RPC halves that found what they needed to be placed in the RPC graph.
    pub completeness: f64,
    /// Replicas of services that have several and send spans, by service, the slowest of each first: 16 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaWindow>,
}

impl Frame {
    /// What it takes in memory, about. Names are counted once where they stand, although most are shared
    /// with other frames or are not.
    pub fn held_bytes(&self) -> usize {
        let rpcs: usize = self.rpcs.iter().map(RpcWindow::held_bytes).sum();
        let services: usize = self.services.iter().map(ServiceWindow::held_bytes).sum();
        let replicas: usize = self.replicas.iter().map(ReplicaWindow::held_bytes).sum();
        size_of::<Self>() + rpcs + services + replicas
    }

    /// Requests of `rpc`, a window of this frame, in half a minute: intervals are not all equally long.
    pub fn requests(&self, rpc: &RpcWindow) -> f64 {
        rpc.count as f64 * (30.0 / self.interval.seconds())
    }

    /// The window of `key`.
    pub fn rpc(&self, key: &RpcKey) -> Option<&RpcWindow> {
        self.rpcs.binary_search_by(|w| w.key.cmp(key)).ok().map(|i| &self.rpcs[i])
    }

    /// The window of a service's samples.
    pub fn service(&self, name: &str) -> Option<&ServiceWindow> {
        self.services.binary_search_by(|w| (*w.service).cmp(name)).ok().map(|i| &self.services[i])
    }

    /// RPCs by which the outside world reaches `service`; all RPCs into it when none does.
    pub fn entry_rpcs<'a>(&'a self, service: &'a str) -> Vec<&'a RpcWindow> {
        let into = || self.rpcs.iter().filter(move |w| &*w.key.callee == service);
        let from_user: Vec<_> = into().filter(|w| w.key.is_entry()).collect();
        if from_user.is_empty() { into().collect() } else { from_user }
    }

    /// Services that the outside world reaches, each once for every RPC by which it does.
    pub fn entry_services(&self) -> impl Iterator<Item = &str> {
        self.rpcs.iter().filter(|w| w.key.is_entry()).map(|w| &*w.key.callee)
    }
}
