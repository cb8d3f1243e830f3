//! What an application is made of: services, their operations, and what each operation does.
//!
//! In: nothing. Out: [`AppSpec`], plain data that anyone may build or change. Whether it makes
//! sense is checked by [`AppSpec::nominal`] and when a simulator is built from it.

/// An application.
#[derive(Clone, Debug, PartialEq)]
pub struct AppSpec {
    /// Name of the application.
    pub name: String,
    /// Its services; everything else refers to them by index.
    pub services: Vec<ServiceSpec>,
    /// Operations that users invoke.
    pub entries: Vec<Entry>,
    /// Requests per second at load 1.
    pub base_rate: f64,
    /// Quantile in (0, 1) that the latency target of the application speaks of.
    pub qos_quantile: f64,
    /// Hosts; replicas are dealt out to them in turn.
    pub nodes: usize,
    /// Mean time of a message between two services, one way, in microseconds.
    pub network_us: f64,
}

/// An operation that users invoke.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Index of the service.
    pub service: usize,
    /// Index of the operation in the service.
    pub op: usize,
    /// Share of the requests, relative to the other entries.
    pub weight: f64,
}

/// What a service is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Talks to users.
    Frontend,
    /// Works on requests of other services.
    Logic,
    /// Keeps data in memory.
    Cache,
    /// Keeps data on disk.
    Database,
}

/// A service: a number of equal replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Name of the service.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// Replicas.
    pub replicas: usize,
    /// Cores of each replica.
    pub cores: usize,
    /// Worker threads of each replica: requests it works on at once.
    pub threads: usize,
    /// Working set of an idle replica, bytes.
    pub memory_bytes: u64,
    /// Memory limit of each replica, bytes.
    pub memory_limit_bytes: u64,
    /// Whether it sends spans. If not, callers' client spans name it as their peer.
    pub instrumented: bool,
    /// Whether its server spans begin when a request arrives, or once a thread takes it.
    pub queue_in_span: bool,
    /// Its operations.
    pub ops: Vec<OpSpec>,
}

/// An operation: what a worker thread does for one request, step after step.
#[derive(Clone, Debug, PartialEq)]
pub struct OpSpec {
    /// Name, as spans show it.
    pub name: String,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One step of an operation. The worker thread is held until the step is over.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Compute.
    Cpu {
        /// Mean time on a core, microseconds.
        mean_us: f64,
        /// Standard deviation by mean.
        cv: f64,
    },
    /// Read or write the block device.
    Disk {
        /// Mean time on the device, microseconds.
        mean_us: f64,
        /// Standard deviation by mean.
        cv: f64,
        /// How often the step happens at all, 0 to 1.
        probability: f64,
    },
    /// Call another service and wait for it.
    Call(CallSpec),
    /// Make several calls at once and wait for all of them.
    Parallel(Vec<CallSpec>),
    /// Hand a message to another service and go on once the broker has it.
    Publish(CallSpec),
}

/// A call of another service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallSpec {
    /// Index of the service.
    pub service: usize,
    /// Index of the operation in the service.
    pub op: usize,
    /// How often the call happens at all, 0 to 1.
    pub probability: f64,
    /// How many times in a row, when it happens.
    pub times: u32,
}

impl Step {
    /// The calls it makes.
    pub fn calls(&self) -> &[CallSpec] {
        match self {
            Self::Cpu { .. } | Self::Disk { .. } => &[],
            Self::Call(call) | Self::Publish(call) => std::slice::from_ref(call),
            Self::Parallel(calls) => calls,
        }
    }
}

impl CallSpec {
    /// How many calls are made on average.
    pub(super) fn mean_times(&self) -> f64 {
        self.probability * f64::from(self.times)
    }
}

impl AppSpec {
    /// Index of the service of that name.
    pub fn service(&self, name: &str) -> Option<usize> {
        self.services.iter().position(|s| s.name == name)
    }

    /// Every operation with its service, numbered in this order throughout the simulator.
    pub(super) fn ops(&self) -> impl Iterator<Item = (&ServiceSpec, &OpSpec)> {
        self.services.iter().flat_map(|s| s.ops.iter().map(move |op| (s, op)))
    }

    /// The host of every replica, service by service. Replicas are dealt out in turn, so every host
    /// has some of several services.
    pub fn hosts(&self) -> Vec<Vec<usize>> {
        let mut dealt = 0;
        let mut deal = || {
            dealt += 1;
            (dealt - 1) % self.nodes.max(1)
        };
        self.services.iter().map(|s| (0..s.replicas).map(|_| deal()).collect()).collect()
    }

    /// The number of each service's first operation in [`AppSpec::ops`].
    pub(super) fn first_ops(&self) -> Vec<usize> {
        let mut next = 0;
        self.services
            .iter()
            .map(|s| {
                next += s.ops.len();
                next - s.ops.len()
            })
            .collect()
    }
}
