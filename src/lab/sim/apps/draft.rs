//! A short way to write applications down, callees before callers: whoever calls needs the
//! [`Target`] that defining the callee returned, so there can be no cycle and no dangling name.

use crate::lab::sim::spec::{AppSpec, CallSpec, Entry, Kind, OpSpec, ServiceSpec, Step};

const MIB: u64 = 1 << 20;
/// Spread of computations.
const CPU_CV: f64 = 0.6;
/// Spread of disk accesses.
const DISK_CV: f64 = 0.8;

/// An operation that can be called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    service: usize,
    op: usize,
}

/// A service that has been defined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tier(usize);

/// An application in the making.
#[derive(Debug)]
pub(super) struct Draft {
    services: Vec<ServiceSpec>,
    entries: Vec<Entry>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self { services: Vec::new(), entries: Vec::new() }
    }

    /// A service that answers users; it has threads enough for all of them.
    pub(super) fn frontend(&mut self, name: &str, replicas: usize, cores: usize) -> Tier {
        self.tier(name, Kind::Frontend, replicas, cores, 256)
    }

    /// A service between frontends and data.
    pub(super) fn logic(&mut self, name: &str, replicas: usize, cores: usize) -> Tier {
        self.tier(name, Kind::Logic, replicas, cores, 32)
    }

    /// A cache with one operation: computing takes `mean_us`.
    pub(super) fn cache(&mut self, name: &str, op: &str, mean_us: f64) -> Target {
        let tier = self.tier(name, Kind::Cache, 1, 1, 16);
        self.op(tier, op, vec![cpu(mean_us)])
    }

    /// A database without operations yet.
    pub(super) fn database(&mut self, name: &str) -> Tier {
        self.tier(name, Kind::Database, 1, 1, 32)
    }

    fn tier(
        &mut self,
        name: &str,
        kind: Kind,
        replicas: usize,
        cores: usize,
        threads: usize,
    ) -> Tier {
        let (memory, limit) = match kind {
            Kind::Frontend => (160, 1024),
            Kind::Logic => (120, 512),
            Kind::Cache => (300, 768),
            Kind::Database => (600, 2048),
        };
        self.services.push(ServiceSpec {
            name: name.into(),
            kind,
            replicas,
            cores,
            threads,
            memory_bytes: memory * MIB,
            memory_limit_bytes: limit * MIB,
            instrumented: matches!(kind, Kind::Frontend | Kind::Logic),
            queue_in_span: true,
            ops: Vec::new(),
        });
        Tier(self.services.len() - 1)
    }

    /// Gives a service one more operation.
    pub(super) fn op(&mut self, tier: Tier, name: &str, steps: Vec<Step>) -> Target {
        let ops = &mut self.services[tier.0].ops;
        ops.push(OpSpec { name: name.into(), steps });
        Target { service: tier.0, op: ops.len() - 1 }
    }

    /// Lets users invoke an operation with this weight.
    pub(super) fn entry(&mut self, target: Target, weight: f64) {
        self.entries.push(Entry { service: target.service, op: target.op, weight });
    }

    /// The application, with `base_rate` requests per second.
    pub(super) fn finish(self, name: &str, base_rate: f64, nodes: usize) -> AppSpec {
        AppSpec {
            name: name.into(),
            services: self.services,
            entries: self.entries,
            base_rate,
            qos_quantile: 0.99,
            nodes,
            network_us: 150.0,
        }
    }
}

/// Computes.
pub(super) fn cpu(mean_us: f64) -> Step {
    Step::Cpu { mean_us, cv: CPU_CV }
}

/// Goes to disk in this share of the cases.
pub(super) fn disk(probability: f64, mean_us: f64) -> Step {
    Step::Disk { mean_us, cv: DISK_CV, probability }
}

/// Calls and waits.
pub(super) fn call(target: Target) -> Step {
    Step::Call(once(target))
}

/// Calls in this share of the cases, as after a cache miss.
pub(super) fn maybe(probability: f64, target: Target) -> Step {
    Step::Call(CallSpec { probability, ..once(target) })
}

/// Calls several at once.
pub(super) fn parallel(targets: &[Target]) -> Step {
    Step::Parallel(targets.iter().copied().map(once).collect())
}

/// Publishes a message.
pub(super) fn publish(target: Target) -> Step {
    Step::Publish(once(target))
}

/// One certain call.
pub(super) fn once(target: Target) -> CallSpec {
    CallSpec { service: target.service, op: target.op, probability: 1.0, times: 1 }
}
