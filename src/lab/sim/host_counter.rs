//! The counters every host keeps, and under which names a node exporter shows them: those that a
//! built-in feature reads.

use super::counter::{Counter, Counters};
use super::disturbance::saturating;

/// A counter of a host. Those of processors and devices are sums over them, as recording rules
/// make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostCounter {
    UserTime,
    SystemTime,
    StolenTime,
    CpuWaiting,
    MajorFaults,
    MemoryWaiting,
    IoTime,
    IoWaiting,
    Retransmits,
    ReceiveDrops,
}

/// A number per counter.
pub(super) type HostCounters = [f64; HostCounter::ALL.len()];

/// Share of processor time that is the kernel's.
const SYSTEM: f64 = 0.2;
/// Cores the operating system and its daemons use.
const DAEMON_CORES: f64 = 0.15;

impl HostCounter {
    pub(super) const ALL: [Self; 10] = [
        Self::UserTime,
        Self::SystemTime,
        Self::StolenTime,
        Self::CpuWaiting,
        Self::MajorFaults,
        Self::MemoryWaiting,
        Self::IoTime,
        Self::IoWaiting,
        Self::Retransmits,
        Self::ReceiveDrops,
    ];

    /// Name of the metric.
    pub(super) fn metric(self) -> &'static str {
        match self {
            Self::UserTime | Self::SystemTime | Self::StolenTime => "node_cpu_seconds_total",
            Self::CpuWaiting => "node_pressure_cpu_waiting_seconds_total",
            Self::MajorFaults => "node_vmstat_pgmajfault",
            Self::MemoryWaiting => "node_pressure_memory_waiting_seconds_total",
            Self::IoTime => "node_disk_io_time_seconds_total",
            Self::IoWaiting => "node_pressure_io_waiting_seconds_total",
            Self::Retransmits => "node_netstat_Tcp_RetransSegs",
            Self::ReceiveDrops => "node_network_receive_drop_total",
        }
    }

    /// What sets it apart from others of its name.
    pub(super) fn label(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::UserTime => Some(("mode", "user")),
            Self::SystemTime => Some(("mode", "system")),
            Self::StolenTime => Some(("mode", "steal")),
            _ => None,
        }
    }

    /// Whether it tells how much is used.
    pub(super) fn is_usage(self) -> bool {
        matches!(self, Self::UserTime | Self::SystemTime)
    }

    /// What it has of what replicas have used.
    pub(super) fn of_replicas(self, used: &Counters) -> f64 {
        match self {
            Self::UserTime => (1.0 - SYSTEM) * used[Counter::CpuUsage],
            Self::SystemTime => SYSTEM * used[Counter::CpuUsage],
            // Only a hypervisor steals.
            Self::StolenTime => 0.0,
            Self::CpuWaiting => used[Counter::CpuWaiting],
            Self::MajorFaults => used[Counter::MajorFaults],
            Self::MemoryWaiting => used[Counter::MemoryWaiting],
            Self::IoTime => used[Counter::IoTime],
            Self::IoWaiting => used[Counter::IoWaiting],
            Self::Retransmits => used[Counter::SendDrops],
            Self::ReceiveDrops => used[Counter::ReceiveDrops],
        }
    }

    /// What the neighbour makes it grow per second: by fair shares of all cores, and with threads of
    /// its own that wait.
    pub(super) fn of_neighbour(self, cores: f64, strength: f64) -> f64 {
        let share = strength / (1.0 + strength);
        match self {
            Self::UserTime => (1.0 - SYSTEM) * cores * share,
            Self::SystemTime => SYSTEM * cores * share,
            Self::CpuWaiting => 0.9 * saturating(strength),
            _ => 0.0,
        }
    }

    /// What the operating system makes it grow per second.
    pub(super) fn background(self) -> f64 {
        match self {
            Self::UserTime => (1.0 - SYSTEM) * DAEMON_CORES,
            Self::SystemTime => SYSTEM * DAEMON_CORES,
            Self::StolenTime => 0.002,
            Self::CpuWaiting => 0.004,
            Self::MajorFaults => 0.5,
            Self::MemoryWaiting => 0.0005,
            Self::IoTime => 0.01,
            Self::IoWaiting => 0.003,
            Self::Retransmits => 0.1,
            Self::ReceiveDrops => 0.02,
        }
    }

    /// Most it can grow per second.
    pub(super) fn rate_max(self, cores: f64) -> f64 {
        match self {
            Self::UserTime => (1.0 - SYSTEM) * cores,
            Self::SystemTime => SYSTEM * cores,
            Self::CpuWaiting | Self::MemoryWaiting | Self::IoWaiting => 1.0,
            _ => f64::INFINITY,
        }
    }
}
