//! Everything that changes while time passes, and nothing else: a clone of it is a second world.

use std::time::Duration;

use super::config::SimConfig;
use super::event::{Agenda, Happens};
use super::frame::Frames;
use super::gate::Gate;
use super::host::Host;
use super::program::Program;
use super::random::{For, Key, Keys};
use super::replica::Replica;
use super::scrape::Meter;

#[derive(Clone, Debug)]
pub(super) struct State {
    /// Since the simulation began.
    pub(super) now_ns: u64,
    pub(super) agenda: Agenda,
    pub(super) frames: Frames,
    pub(super) replicas: Vec<Replica>,
    /// What monitoring has read so far, by replica.
    pub(super) meters: Vec<Meter>,
    /// By host.
    pub(super) hosts: Vec<Host>,
    /// Probes so far, by service.
    pub(super) probes: Vec<u64>,
    /// By entry.
    pub(super) gates: Vec<Gate>,
    /// User requests so far, dropped ones too.
    pub(super) requests: u64,
    /// Time to the next arrival at one request per second. Arrivals thus stay Poisson, and the
    /// same, when the load changes in between.
    pub(super) until_arrival: f64,
}

impl State {
    pub(super) fn new(program: &Program, config: &SimConfig, keys: &Keys) -> Self {
        Self {
            now_ns: 0,
            agenda: appointments(program, config, keys),
            frames: Frames::default(),
            replicas: program
                .replicas
                .iter()
                .map(|place| Replica::new(&program.services[place.service]))
                .collect(),
            meters: vec![Meter::default(); program.replicas.len()],
            hosts: vec![Host::default(); program.nodes.len()],
            probes: vec![0; program.services.len()],
            gates: gates(program),
            requests: 0,
            until_arrival: keys.requests.stream(For::Arrival).exponential(),
        }
    }
}

impl State {
    /// Now, in milliseconds since the Unix epoch, when the simulation began at `epoch_ms`.
    pub(super) fn time_ms(&self, epoch_ms: i64) -> i64 {
        epoch_ms.saturating_add_unsigned(self.now_ns / 1_000_000)
    }
}

/// The first scrape of every replica and host and the first probe of every service.
fn appointments(program: &Program, config: &SimConfig, keys: &Keys) -> Agenda {
    let mut agenda = Agenda::default();
    let every = scrape_ns(config) as f64;
    let phase_ns =
        |of: Key, i: usize| (of.child(i as u64).stream(For::Phase).uniform() * every) as u64;
    for i in 0..program.replicas.len() {
        agenda.push(phase_ns(keys.scrapes, i), Happens::Scrape, i as u32);
    }
    if !config.usage_metrics_only {
        for i in 0..program.services.len() {
            agenda.push(phase_ns(keys.probes, i), Happens::Probe, i as u32);
        }
    }
    if config.node_exporter {
        for i in 0..program.nodes.len() {
            agenda.push(phase_ns(keys.hosts, i), Happens::ScrapeHost, i as u32);
        }
    }
    agenda
}

fn gates(program: &Program) -> Vec<Gate> {
    let mut below = 0.0;
    let share = |(_, upto): &(u32, f64)| upto - std::mem::replace(&mut below, *upto);
    program.entries.iter().map(share).map(|s| Gate::new(s * program.base_rate)).collect()
}

/// Time between scrapes, nanoseconds.
pub(super) fn scrape_ns(config: &SimConfig) -> u64 {
    nanoseconds(config.scrape_every.max(SimConfig::SCRAPE_MIN))
}

/// A duration in nanoseconds, at most a year.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    duration.min(Duration::from_secs(365 * 86_400)).as_nanos() as u64
}
