//! What happens to a simulated application: load swings, and faults that come and go.
//!
//! In: an application and a seed. Out: one [`Minute`] per interval. Faults of every kind, weak and
//! strong, single and multiple, strike services at random, and now and then everybody
//! on a host; loud but harmless ones mix in.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::sim::{AppSpec, Fault, FaultKind, Step};

/// What happens in one interval.
#[derive(Clone, Debug, Default)]
pub struct Minute {
    /// Load relative to the application's base rate.
    pub load: f64,
    /// Faults that hold.
    pub faults: Vec<Fault>,
}

/// How often and how hard.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Chance that an interval without a fault begins an episode.
    pub episode: f64,
    /// Chance that an episode has a second fault, and a third.
    pub second: f64,
    /// Chance that the first fault of an episode is a noisy neighbour on some host.
    pub neighbours: f64,
    /// Chance that an interval begins an episode of harmless loudness.
    pub bystander: f64,
    /// Intervals an episode lasts, at least and at most.
    pub length: (usize, usize),
    /// Strength, weakest and strongest; drawn evenly in the logarithm.
    pub strength: (f64, f64),
    /// Load swings: amplitude of the slow wave and of the noise.
    pub swing: (f64, f64),
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            episode: 0.22,
            second: 0.15,
            neighbours: 0.08,
            bystander: 0.2,
            length: (1, 2),
            strength: (0.3, 3.0),
            swing: (0.25, 0.1),
        }
    }
}

/// Keeps the numbers of neighbours apart from all others.
const NEIGHBOURS: u64 = 0x6e65_6967_6862_6f72;

/// Draws the schedule.
#[derive(Debug)]
pub struct Schedule {
    rng: SmallRng,
    /// Draws noisy neighbours, so that everything else is the same with and without them.
    neighbour_rng: SmallRng,
    /// Of every replica, by service.
    hosts: Vec<Vec<usize>>,
    weather: Weather,
    /// Services and how often a request reaches them, relative.
    traffic: Vec<f64>,
    callers: Vec<bool>,
    faults: Vec<(Fault, usize)>,
    phase: f64,
    /// Services that are struck more often, and how often.
    aim: Option<(Vec<usize>, f64)>,
}

impl Schedule {
    /// A schedule for `spec`.
    pub fn new(spec: &AppSpec, weather: Weather, seed: u64) -> Self {
        let traffic = spec
            .nominal()
            .map(|n| n.iter().map(|s| s.requests_per_second).collect())
            .unwrap_or_else(|_| vec![1.0; spec.services.len()]);
        let calls = |s: &super::sim::ServiceSpec| {
            s.ops.iter().flat_map(|o| &o.steps).any(|step: &Step| !step.calls().is_empty())
        };
        Self {
            rng: SmallRng::seed_from_u64(seed),
            neighbour_rng: SmallRng::seed_from_u64(seed ^ NEIGHBOURS),
            hosts: spec.hosts(),
            weather,
            traffic,
            callers: spec.services.iter().map(calls).collect(),
            faults: Vec::new(),
            phase: 0.0,
            aim: None,
        }
    }

    /// From the next interval on, episodes that begin are like this.
    pub fn change(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// From now on this share of what begins strikes one of `services`, drawn evenly.
    pub fn aim(&mut self, services: Vec<usize>, share: f64) {
        self.aim = (!services.is_empty()).then_some((services, share));
    }

    /// The next interval.
    pub fn next_minute(&mut self) -> Minute {
        for (_, left) in &mut self.faults {
            *left -= 1;
        }
        self.faults.retain(|(_, left)| *left > 0);
        let w = self.weather;
        let is_calm = !self.faults.iter().any(|(f, _)| !f.kind.is_bystander());
        if is_calm && self.rng.random_bool(w.episode) {
            let length = self.rng.random_range(w.length.0..=w.length.1);
            let fault = self.draw(false);
            if self.neighbour_rng.random_bool(w.neighbours) {
                self.crowd(fault.strength, length);
            } else {
                self.strike(fault, length);
            }
            let mut chance = w.second;
            while self.rng.random_bool(chance) {
                let fault = self.draw(false);
                self.strike(fault, length);
                chance /= 3.0;
            }
        }
        if self.rng.random_bool(w.bystander) {
            let length = self.rng.random_range(w.length.0..=w.length.1);
            let fault = self.draw(true);
            self.strike(fault, length);
        }
        Minute { load: self.load(), faults: self.faults.iter().map(|(f, _)| *f).collect() }
    }

    /// A load for the next interval.
    pub fn load(&mut self) -> f64 {
        self.phase += std::f64::consts::TAU / 120.0;
        let (wave, noise) = self.weather.swing;
        1.0 + wave * self.phase.sin() + noise * self.rng.random_range(-1.0..1.0)
    }

    fn draw(&mut self, is_bystander: bool) -> Fault {
        let (low, high) = self.weather.strength;
        let strength = low * (high / low).powf(self.rng.random_range(0.0..1.0));
        let service = self.service();
        let kind = self.kind(service, is_bystander);
        Fault { service, kind, strength, replica: None }
    }

    fn strike(&mut self, fault: Fault, length: usize) {
        // The same kind on the same service twice would only be a stronger one.
        if self.faults.iter().all(|(f, _)| f.service != fault.service || f.kind != fault.kind) {
            self.faults.push((fault, length));
        }
    }

    /// A neighbour harms every replica of a random host: one fault for each, so that each can be
    /// undone. Only a service of which several replicas share the host has more than one.
    fn crowd(&mut self, strength: f64, length: usize) {
        let count = self.hosts.iter().flatten().max().map_or(1, |last| last + 1);
        let crowded = self.neighbour_rng.random_range(0..count);
        for (service, hosts) in self.hosts.iter().enumerate() {
            let kind = FaultKind::NoisyNeighbour;
            let here = (0..hosts.len()).filter(|r| hosts[*r] == crowded);
            let fault = |replica| Fault { service, kind, strength, replica: Some(replica) };
            self.faults.extend(here.map(|replica| (fault(replica), length)));
        }
    }

    /// Half of the faults strike any service, half strike where the traffic is; unless they are aimed.
    fn service(&mut self) -> usize {
        if let Some((services, share)) = &self.aim
            && self.rng.random_bool(*share)
        {
            return services[self.rng.random_range(0..services.len())];
        }
        let total: f64 = self.traffic.iter().sum();
        if self.rng.random_bool(0.5) || total <= 0.0 {
            return self.rng.random_range(0..self.traffic.len());
        }
        let mut at = self.rng.random_range(0.0..total);
        self.traffic
            .iter()
            .position(|t| {
                at -= t;
                at < 0.0
            })
            .unwrap_or(0)
    }

    fn kind(&mut self, service: usize, is_bystander: bool) -> FaultKind {
        let fits = |kind: &FaultKind| {
            kind.is_bystander() == is_bystander
                && *kind != FaultKind::NoisyNeighbour
                && (*kind != FaultKind::FewConnections || self.callers[service])
        };
        let kinds: Vec<FaultKind> = FaultKind::ALL.into_iter().filter(fits).collect();
        kinds[self.rng.random_range(0..kinds.len())]
    }
}
