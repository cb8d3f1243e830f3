//! What faults do to the metrics of a replica beyond what its own requests cause: the hog's own
//! usage, the noise of a bystander.
//!
//! In: the faults of an interval. Out: [`Disturbance`] of one replica. Shortages move what is used
//! and what is short; bystanders move what is used, much, and what is short, hardly; bugs move
//! neither.

use super::counter::{CFS_PERIODS, Counter, Counters};
use super::fault::{FaultKind, Strengths};
use super::program::Service;

/// What is added to a replica's metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Disturbance {
    /// Growth of counters, per second.
    pub(super) rates: Counters,
    /// Part of the waiting for processors that is due to other jobs on the host: no quota is spent
    /// on it. Seconds per second.
    pub(super) crowding: f64,
    /// How much of the memory between working set and limit is taken, 0 to 1.
    pub(super) memory_fill: f64,
    /// Factor on the round trip of probes.
    pub(super) rtt_factor: f64,
}

impl Disturbance {
    /// Of a replica that faults strike this badly.
    pub(super) fn of(service: &Service, strengths: &Strengths) -> Self {
        let mut all =
            Self { rates: Counters::default(), crowding: 0.0, memory_fill: 0.0, rtt_factor: 1.0 };
        for (kind, strength) in strengths.iter() {
            match kind {
                FaultKind::Cpu => all.hog_cpu(service, strength),
                FaultKind::Memory => all.hog_memory(strength),
                FaultKind::Disk => all.hog_disk(strength),
                FaultKind::Network => all.rates[Counter::SendDrops] += 0.4 * strength,
                FaultKind::NoisyNeighbour => all.crowd(service, strength),
                FaultKind::LoudCpu => all.use_cpu(service, strength),
                FaultKind::LoudMemory => all.use_memory(strength),
                FaultKind::LoudDisk => all.use_disk(strength),
                FaultKind::LoudNetwork => all.use_network(strength),
                FaultKind::LockContention | FaultKind::FewThreads | FaultKind::FewConnections => {}
            }
        }
        all
    }

    fn hog_cpu(&mut self, service: &Service, strength: f64) {
        self.rates[Counter::CpuUsage] += service.cores as f64 * (0.1 + 0.15 * strength);
        self.rates[Counter::CfsThrottled] += CFS_PERIODS * 0.6 * saturating(0.7 * strength);
        self.rates[Counter::CpuWaiting] += 0.3 * saturating(0.7 * strength);
    }

    /// What replicas do without being asked waits as well.
    fn crowd(&mut self, service: &Service, strength: f64) {
        self.crowding = Counter::CpuUsage.background(service.kind) * strength;
        self.rates[Counter::CpuWaiting] += self.crowding;
    }

    fn hog_memory(&mut self, strength: f64) {
        self.fill_memory(1.0 - 0.15 / (1.0 + 2.0 * strength));
        self.rates[Counter::MajorFaults] += 40.0 * strength;
        self.rates[Counter::MemoryWaiting] += 0.05 * strength;
        self.rates[Counter::ReadBytes] += 1.5e6 * strength;
        self.rates[Counter::IoTime] += 0.02 * strength;
    }

    fn fill_memory(&mut self, fill: f64) {
        self.memory_fill = self.memory_fill.max(fill);
    }

    fn hog_disk(&mut self, strength: f64) {
        self.rates[Counter::IoTime] += 0.7 * saturating(0.8 * strength);
        self.rates[Counter::IoWaiting] += 0.4 * saturating(0.5 * strength);
        self.rates[Counter::WrittenBytes] += 3e7 * strength;
        self.rates[Counter::ReadBytes] += 1e7 * strength;
    }

    fn use_cpu(&mut self, service: &Service, strength: f64) {
        self.rates[Counter::CpuUsage] += service.cores as f64 * 0.3 * strength;
        self.rates[Counter::CfsThrottled] += CFS_PERIODS * 0.02 * saturating(strength);
        self.rates[Counter::CpuWaiting] += 0.008 * saturating(strength);
    }

    fn use_memory(&mut self, strength: f64) {
        self.fill_memory(0.9 * saturating(1.5 * strength));
        self.rates[Counter::MajorFaults] += 0.8 * saturating(strength);
        self.rates[Counter::MemoryWaiting] += 0.001 * saturating(strength);
    }

    fn use_disk(&mut self, strength: f64) {
        self.rates[Counter::WrittenBytes] += 4e7 * strength;
        self.rates[Counter::ReadBytes] += 1.5e7 * strength;
        self.rates[Counter::IoTime] += 0.04 * saturating(strength);
        self.rates[Counter::IoWaiting] += 0.005 * saturating(strength);
    }

    fn use_network(&mut self, strength: f64) {
        self.rates[Counter::ReceivedBytes] += 2e7 * strength;
        self.rates[Counter::SentBytes] += 2e7 * strength;
        self.rates[Counter::ReceiveDrops] += 0.05 * saturating(strength);
        self.rtt_factor *= 1.0 + 0.2 * saturating(strength);
    }
}

/// Grows from 0 towards 1.
pub(super) fn saturating(x: f64) -> f64 {
    -(-x).exp_m1()
}
