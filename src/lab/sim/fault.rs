//! What can go wrong, and what only looks as if.
//!
//! In: nothing. Out: [`Fault`], to be given to a simulator for one interval. What each does to a
//! replica stands in `condition.rs` (requests feel it) and `disturbance.rs` (only metrics show it).

use std::fmt;

use crate::data::Resource;

/// Strength beyond which nothing gets worse.
const STRENGTH_MAX: f64 = 10.0;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// A hog in the same container takes processor time.
    Cpu,
    /// Memory is short: pages are read back from disk.
    Memory,
    /// The block device is busy with other people's work.
    Disk,
    /// What the replica sends is delayed and sometimes lost.
    Network,
    /// Another job on the replica's host takes processor time. It strikes every replica of that host;
    /// a fault says so for one of them.
    NoisyNeighbour,
    /// Bug: every request passes one critical section.
    LockContention,
    /// Bug: the worker pool is too small.
    FewThreads,
    /// Bug: too few connections to callees.
    FewConnections,
    /// Harmless: much processor time is used, and nobody waits for it.
    LoudCpu,
    /// Harmless: much memory is used, and nobody waits for it.
    LoudMemory,
    /// Harmless: much is read and written, and nobody waits for it.
    LoudDisk,
    /// Harmless: much is sent and received, and nobody waits for it.
    LoudNetwork,
}

impl FaultKind {
    /// All of them: shortages, bugs, bystanders.
    pub const ALL: [Self; 12] = [
        Self::Cpu,
        Self::Memory,
        Self::Disk,
        Self::Network,
        Self::NoisyNeighbour,
        Self::LockContention,
        Self::FewThreads,
        Self::FewConnections,
        Self::LoudCpu,
        Self::LoudMemory,
        Self::LoudDisk,
        Self::LoudNetwork,
    ];

    /// The resource that is short; `None` for bugs, which no resource metric shows, and for
    /// bystanders, which are nobody's cause.
    pub fn resource(self) -> Option<Resource> {
        match self {
            Self::Cpu | Self::NoisyNeighbour => Some(Resource::Cpu),
            Self::Memory => Some(Resource::Memory),
            Self::Disk => Some(Resource::Disk),
            Self::Network => Some(Resource::Network),
            _ => None,
        }
    }

    /// Whether it is loud and harmless: metrics move, latency does not.
    pub fn is_bystander(self) -> bool {
        matches!(self, Self::LoudCpu | Self::LoudMemory | Self::LoudDisk | Self::LoudNetwork)
    }

    /// Whether it is a software bug.
    pub fn is_bug(self) -> bool {
        self.resource().is_none() && !self.is_bystander()
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::NoisyNeighbour => "noisy_neighbour",
            Self::LockContention => "lock_contention",
            Self::FewThreads => "few_threads",
            Self::FewConnections => "few_connections",
            Self::LoudCpu => "loud_cpu",
            Self::LoudMemory => "loud_memory",
            Self::LoudDisk => "loud_disk",
            Self::LoudNetwork => "loud_network",
        })
    }
}

/// Something that goes wrong during one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// Index of the service. An index that does not exist harms nobody.
    pub service: usize,
    /// What goes wrong.
    pub kind: FaultKind,
    /// How badly: 0.3 weakly, 1 moderately, 3 strongly. Taken as between 0 and 10.
    pub strength: f64,
    /// Index of the replica it strikes; all of the service when `None`.
    pub replica: Option<usize>,
}

impl Fault {
    /// Whether it strikes replica number `replica` of service number `service`.
    pub fn strikes(&self, service: usize, replica: usize) -> bool {
        self.service == service && self.replica.is_none_or(|r| r == replica)
    }
}

/// How badly each kind of fault strikes one replica, by position in [`FaultKind::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Strengths([f64; FaultKind::ALL.len()]);

impl Strengths {
    /// Of what strikes replica number `replica` of service number `service`. Faults of one kind add
    /// up.
    pub(super) fn on(service: usize, replica: usize, faults: &[Fault]) -> Self {
        let mut all = Self::default();
        for fault in faults.iter().filter(|f| f.strikes(service, replica)) {
            // A strength that is no number counts as none.
            let sum = all.0[fault.kind as usize] + fault.strength.max(0.0);
            all.0[fault.kind as usize] = sum.min(STRENGTH_MAX);
        }
        all
    }

    /// How badly this kind strikes.
    pub(super) fn of(&self, kind: FaultKind) -> f64 {
        self.0[kind as usize]
    }

    /// The kinds that strike at all.
    pub(super) fn iter(&self) -> impl Iterator<Item = (FaultKind, f64)> {
        FaultKind::ALL.into_iter().zip(self.0).filter(|(_, strength)| *strength > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_a_shortage_a_bug_or_a_bystander_and_has_its_own_name() {
        let count = |f: fn(FaultKind) -> bool| FaultKind::ALL.iter().filter(|k| f(**k)).count();
        assert_eq!(count(|k| k.resource().is_some()), 5);
        assert_eq!((count(FaultKind::is_bug), count(FaultKind::is_bystander)), (3, 4));
        let names: std::collections::BTreeSet<_> =
            FaultKind::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), FaultKind::ALL.len());
    }

    #[test]
    fn faults_of_a_kind_add_up_and_nonsense_counts_as_none() {
        let fault =
            |strength, replica| Fault { service: 1, kind: FaultKind::Disk, strength, replica };
        let faults =
            [fault(1.0, None), fault(0.5, Some(2)), fault(f64::NAN, None), fault(-3.0, None)];
        let on =
            |service, replica| Strengths::on(service, replica, &faults).iter().collect::<Vec<_>>();
        assert_eq!(on(1, 2), [(FaultKind::Disk, 1.5)]);
        assert_eq!(on(1, 0), [(FaultKind::Disk, 1.0)]);
        assert_eq!(on(0, 2), []);
        assert_eq!(
            Strengths::on(1, 0, &[fault(1e9, None)]).iter().next(),
            Some((FaultKind::Disk, 10.0))
        );
    }
}
