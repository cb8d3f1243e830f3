//! What faults do to the requests of a replica.
//!
//! In: the faults of an interval. Out: [`Condition`] of one replica. Absent on purpose: bystanders,
//! which by definition change nothing here, and metrics, which stand in `disturbance.rs`.

use super::fault::{FaultKind, Strengths};
use super::program::Service;

/// A lost packet is sent again after this long: Linux' smallest retransmission time-out.
pub(super) const RETRANSMIT_NS: f64 = 200e6;

/// A pause that befalls some steps.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Stall {
    pub(super) probability: f64,
    /// Mean of an exponential.
    pub(super) mean_ns: f64,
}

/// What happens to everything a replica sends.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Egress {
    pub(super) delay_ns: f64,
    /// Mean of an exponential that is added to the delay.
    pub(super) jitter_ns: f64,
    pub(super) loss: f64,
}

/// State of health of a replica.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    /// Factor on the time of computations, because somebody else has the core in between.
    pub(super) hog_stretch: f64,
    /// The same, because another job on the host has it.
    pub(super) neighbour_stretch: f64,
    /// The same, because the kernel looks for free memory in between.
    pub(super) reclaim_stretch: f64,
    /// Factor on the time of the block device.
    pub(super) disk_stretch: f64,
    /// Waiting for pages, after computing.
    pub(super) paging: Stall,
    /// Waiting for the disk although the step did not ask for it: logs, binaries.
    pub(super) logging: Stall,
    pub(super) egress: Egress,
    /// Mean time each request spends in the replica's critical section; 0 when there is none.
    pub(super) lock_ns: f64,
    /// Worker threads.
    pub(super) threads: usize,
    /// Calls that may be under way at once.
    pub(super) connections: usize,
}

impl Condition {
    /// Of a replica that faults strike this badly.
    pub(super) fn of(service: &Service, strengths: &Strengths) -> Self {
        let mut condition = Self {
            hog_stretch: 1.0,
            neighbour_stretch: 1.0,
            reclaim_stretch: 1.0,
            disk_stretch: 1.0,
            paging: Stall::default(),
            logging: Stall::default(),
            egress: Egress::default(),
            lock_ns: 0.0,
            threads: service.threads,
            connections: usize::MAX,
        };
        for (kind, strength) in strengths.iter() {
            condition.suffer(service, kind, strength);
        }
        condition
    }

    fn suffer(&mut self, service: &Service, kind: FaultKind, strength: f64) {
        match kind {
            FaultKind::Cpu => self.hog_stretch = 1.0 + 1.5 * strength,
            FaultKind::Memory => {
                self.reclaim_stretch = 1.0 + 0.3 * strength;
                self.paging = Stall {
                    probability: (0.25 * strength).min(0.7),
                    mean_ns: 12e6 * strength.sqrt(),
                };
            }
            FaultKind::Disk => {
                self.disk_stretch = 1.0 + 5.0 * strength;
                self.logging = Stall {
                    probability: (0.06 * strength).min(0.5),
                    mean_ns: 14e6 * strength.sqrt(),
                };
            }
            FaultKind::Network => {
                self.egress = Egress {
                    delay_ns: 10e6 * strength,
                    jitter_ns: 3e6 * strength,
                    loss: (0.012 * strength).min(0.1),
                };
            }
            // The scheduler is fair: at strength 1 every thread shares its core with one of the job's.
            FaultKind::NoisyNeighbour => self.neighbour_stretch = 1.0 + strength,
            FaultKind::LockContention => self.lock_ns = lock_ns(service, strength),
            FaultKind::FewThreads => {
                self.threads = few(service.nominal.threads, strength).min(service.threads);
            }
            FaultKind::FewConnections => {
                self.connections = few(service.nominal.calls, strength);
            }
            FaultKind::LoudCpu
            | FaultKind::LoudMemory
            | FaultKind::LoudDisk
            | FaultKind::LoudNetwork => {}
        }
    }
}

/// Time in the critical section that keeps it busy three quarters of the time at strength 1 and
/// load 1, whatever the rate of the service; bounded, because a quiet service would otherwise need
/// an absurd one.
fn lock_ns(service: &Service, strength: f64) -> f64 {
    let busy = 1.0 - 1.0 / (1.0 + 3.0 * strength);
    let rate = service.nominal.requests_per_second.max(1e-9);
    (busy / rate * 1e9).min(15e6 * strength)
}

/// A pool that is just big enough at strength 1 and load 1.
fn few(needed: f64, strength: f64) -> usize {
    (1.2 * needed / strength).ceil().max(1.0) as usize
}
