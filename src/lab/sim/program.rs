//! An application made ready to run: flat tables instead of trees, distributions instead of means,
//! shared names instead of strings.
//!
//! In: a checked [`AppSpec`]. Out: [`Program`], which never changes. Absent on purpose: state.

use std::ops::Range;

use super::config::SimConfig;
use super::counter::Counters;
use super::error::SpecError;
use super::nominal::Nominal;
use super::random::{For, Key, Time};
use super::series::{Labels, Words};
use super::spec::{AppSpec, CallSpec, Kind, ServiceSpec, Step};
use crate::data::Name;

#[derive(Debug)]
pub(super) struct Program {
    pub(super) services: Vec<Service>,
    pub(super) replicas: Vec<Place>,
    pub(super) nodes: Vec<Node>,
    pub(super) ops: Vec<Op>,
    pub(super) steps: Vec<Work>,
    pub(super) calls: Vec<Call>,
    /// Operation and cumulative share of the requests, ending at 1.
    pub(super) entries: Vec<(u32, f64)>,
    pub(super) base_rate: f64,
    pub(super) network: Time,
    pub(super) network_us: f64,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) instrumented: bool,
    pub(super) queue_in_span: bool,
    pub(super) replicas: Range<usize>,
    pub(super) cores: usize,
    pub(super) threads: usize,
    pub(super) memory_bytes: f64,
    pub(super) memory_limit_bytes: f64,
    /// What one replica has to do at load 1.
    pub(super) nominal: Nominal,
    /// Of its probe's series.
    pub(super) probe_labels: Labels,
}

/// Where a replica runs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) service: usize,
    pub(super) pod: Name,
    pub(super) node: usize,
    /// Of its series.
    pub(super) labels: Labels,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Name,
    /// How far its clock is ahead.
    pub(super) skew_ns: i64,
    /// Cores of all replicas on it.
    pub(super) cores: usize,
    /// What these do without being asked, per second.
    pub(super) idle: Counters,
    /// Of its series.
    pub(super) labels: Labels,
}

#[derive(Debug)]
pub(super) struct Op {
    pub(super) service: usize,
    pub(super) name: Name,
    /// Its steps in [`Program::steps`].
    pub(super) steps: Range<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Cpu(Time),
    Disk {
        time: Time,
        probability: f64,
    },
    /// Calls in [`Program::calls`], all at once.
    Calls {
        from: u32,
        to: u32,
    },
    /// A message, in [`Program::calls`].
    Publish(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) op: u32,
    pub(super) probability: f64,
    pub(super) times: u32,
}

impl Program {
    pub(super) fn new(spec: &AppSpec, config: &SimConfig, hosts: Key) -> Result<Self, SpecError> {
        let nominal = spec.nominal()?;
        let mut words = Words::default();
        let mut program = Self {
            services: Vec::new(),
            replicas: Vec::new(),
            nodes: nodes(spec.nodes, config.clock_skew_ms_max, hosts, &mut words),
            ops: Vec::new(),
            steps: Vec::new(),
            calls: Vec::new(),
            entries: entries(spec),
            base_rate: spec.base_rate,
            // Delays within a data centre vary little but are never constant.
            network: Time::of(spec.network_us, 0.4),
            network_us: spec.network_us,
        };
        for ((service, nominal), hosts) in spec.services.iter().zip(nominal).zip(spec.hosts()) {
            program.add_service(service, nominal, &hosts, &mut words);
        }
        let first = spec.first_ops();
        for (s, service) in spec.services.iter().enumerate() {
            for op in &service.ops {
                let from = program.steps.len() as u32;
                op.steps.iter().for_each(|step| program.add_step(step, &first));
                let steps = from..program.steps.len() as u32;
                program.ops.push(Op { service: s, name: op.name.as_str().into(), steps });
            }
        }
        Ok(program)
    }

    fn add_service(
        &mut self,
        spec: &ServiceSpec,
        all: Nominal,
        hosts: &[usize],
        words: &mut Words,
    ) {
        let from = self.replicas.len();
        for (i, node) in hosts.iter().copied().enumerate() {
            let pod = format!("{}-{i}", spec.name);
            let host = &mut self.nodes[node];
            host.cores += spec.cores;
            host.idle.add(&Counters::background(spec.kind), 1.0);
            self.replicas.push(Place {
                service: self.services.len(),
                labels: words.of_replica(&spec.name, &pod, &host.name),
                pod: words.get(&pod),
                node,
            });
        }
        self.services.push(Service {
            name: words.get(&spec.name),
            kind: spec.kind,
            instrumented: spec.instrumented,
            queue_in_span: spec.queue_in_span,
            replicas: from..self.replicas.len(),
            cores: spec.cores,
            threads: spec.threads,
            memory_bytes: spec.memory_bytes as f64,
            memory_limit_bytes: spec.memory_limit_bytes as f64,
            nominal: all.shared_by(spec.replicas),
            probe_labels: words.of_probe(&spec.name),
        });
    }

    fn add_step(&mut self, step: &Step, first: &[usize]) {
        let work = match step {
            Step::Cpu { mean_us, cv } => Work::Cpu(Time::of(*mean_us, *cv)),
            Step::Disk { mean_us, cv, probability } => {
                Work::Disk { time: Time::of(*mean_us, *cv), probability: *probability }
            }
            Step::Publish(call) => Work::Publish(self.add_calls(&[*call], first).start),
            Step::Call(_) | Step::Parallel(_) => {
                let range = self.add_calls(step.calls(), first);
                Work::Calls { from: range.start, to: range.end }
            }
        };
        self.steps.push(work);
    }

    fn add_calls(&mut self, calls: &[CallSpec], first: &[usize]) -> Range<u32> {
        let from = self.calls.len() as u32;
        self.calls.extend(calls.iter().map(|call| Call {
            op: (first[call.service] + call.op) as u32,
            probability: call.probability,
            times: call.times,
        }));
        from..self.calls.len() as u32
    }
}

fn nodes(count: usize, skew_ms_max: f64, hosts: Key, words: &mut Words) -> Vec<Node> {
    let skew =
        |i: u64| (2.0 * hosts.child(i).stream(For::Clock).uniform() - 1.0) * skew_ms_max * 1e6;
    (0..count)
        .map(|i| {
            let name = words.get(&format!("node-{i}"));
            Node {
                skew_ns: skew(i as u64) as i64,
                cores: 0,
                idle: Counters::default(),
                labels: words.of_host(&name),
                name,
            }
        })
        .collect()
}

fn entries(spec: &AppSpec) -> Vec<(u32, f64)> {
    let first = spec.first_ops();
    let total: f64 = spec.entries.iter().map(|e| e.weight).sum();
    let mut sum = 0.0;
    let mut entries = Vec::with_capacity(spec.entries.len());
    for entry in spec.entries.iter().filter(|e| e.weight > 0.0) {
        sum += entry.weight / total;
        entries.push(((first[entry.service] + entry.op) as u32, sum));
    }
    // Rounding must not leave a gap at the end that no entry covers.
    if let Some(last) = entries.last_mut() {
        last.1 = 1.0;
    }
    entries
}
