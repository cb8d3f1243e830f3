//! What goes wrong in the demo.

use std::time::Duration;

use crate::lab::sim::{AppSpec, Fault, FaultKind, Simulator};
use crate::lab::{Blame, Minute, judge};

/// One thing to find out.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Faults that hold, harmless ones among them.
    pub faults: Vec<Fault>,
}

/// (service, kind, strength) of every fault, scenario by scenario.
const PLAN: &[&[(&str, FaultKind, f64)]] = &[
    &[("post-storage-service", FaultKind::Cpu, 1.2)],
    &[("home-timeline-redis", FaultKind::Memory, 1.5)],
    &[("post-storage-mongodb", FaultKind::Disk, 1.2)],
    &[("user-timeline-service", FaultKind::Network, 1.0)],
    &[("nginx-web-server", FaultKind::LockContention, 1.2)],
    // Loud and harmless: nobody may be accused.
    &[("social-graph-service", FaultKind::LoudCpu, 2.0)],
    &[("home-timeline-service", FaultKind::Cpu, 2.0)],
    // A real fault while others shout.
    &[
        ("user-timeline-service", FaultKind::Memory, 1.5),
        ("post-storage-service", FaultKind::LoudCpu, 2.0),
        ("user-memcached", FaultKind::LoudDisk, 2.0),
    ],
    &[
        ("social-graph-redis", FaultKind::LoudMemory, 2.0),
        ("text-service", FaultKind::LoudNetwork, 2.0),
    ],
    &[("user-timeline-mongodb", FaultKind::Disk, 2.0)],
    &[("nginx-web-server", FaultKind::Network, 0.8)],
    &[("home-timeline-service", FaultKind::FewThreads, 1.5)],
    // Two at once.
    &[
        ("post-storage-mongodb", FaultKind::Cpu, 1.5),
        ("user-timeline-service", FaultKind::Network, 1.0),
    ],
    &[("post-storage-memcached", FaultKind::Memory, 1.5)],
    &[("nginx-web-server", FaultKind::Cpu, 2.0), ("media-service", FaultKind::LoudCpu, 2.0)],
    &[("post-storage-service", FaultKind::LockContention, 1.5)],
];

/// The scenarios for `spec`; services it does not have are left out.
pub fn scenarios(spec: &AppSpec) -> Vec<Scenario> {
    let fault = |(name, kind, strength): &(&str, FaultKind, f64)| {
        let service = spec.services.iter().position(|s| s.name == *name)?;
        Some(Fault { service, kind: *kind, strength: *strength, replica: None })
    };
    PLAN.iter()
        .map(|faults| Scenario { faults: faults.iter().filter_map(fault).collect() })
        .filter(|s| !s.faults.is_empty())
        .collect()
}

/// Strength grows by this factor until a fault is felt.
const GROWTH: f64 = 1.4;
/// A violation is clear when the tail is this many times the target.
const CLEARLY: f64 = 1.25;
/// And by no more steps than these.
const STEPS: usize = 8;

impl Scenario {
    /// Whether nothing in it does harm.
    pub fn is_harmless(&self) -> bool {
        self.faults.iter().all(|f| f.kind.is_bystander())
    }

    /// Makes the faults strong enough to violate the target clearly, by trying them on copies of
    /// the application, and says who is to blame then.
    pub fn arm(
        &mut self,
        now: &Simulator,
        load: f64,
        interval: Duration,
        quantile: f64,
        target_ms: f64,
    ) -> Option<Blame> {
        if self.is_harmless() {
            return None;
        }
        for step in 1..=STEPS {
            let minute = Minute { load, faults: self.faults.clone() };
            let truth = now.clone().run(interval, load, &self.faults).truth;
            let observed = truth.quantile_ms(quantile).unwrap_or(0.0);
            if observed > CLEARLY * target_ms || step == STEPS {
                return judge(now, &minute, interval, quantile, target_ms, observed);
            }
            for fault in self.faults.iter_mut().filter(|f| !f.kind.is_bystander()) {
                fault.strength *= GROWTH;
            }
        }
        None
    }
}
