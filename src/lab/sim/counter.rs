//! The counters every replica keeps, and under which names cAdvisor and the kubelet show them.

use std::ops::{Index, IndexMut};

use super::spec::Kind;

/// A counter of a replica. Times are in seconds, so that a rate is a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    CpuUsage,
    CfsPeriods,
    CfsThrottled,
    CpuWaiting,
    MajorFaults,
    MemoryWaiting,
    IoTime,
    ReadBytes,
    WrittenBytes,
    IoWaiting,
    ReceivedBytes,
    SentBytes,
    ReceiveDrops,
    SendDrops,
}

/// Periods of CFS bandwidth control per second.
pub(super) const CFS_PERIODS: f64 = 10.0;

impl Counter {
    pub(super) const ALL: [Self; 14] = [
        Self::CpuUsage,
        Self::CfsPeriods,
        Self::CfsThrottled,
        Self::CpuWaiting,
        Self::MajorFaults,
        Self::MemoryWaiting,
        Self::IoTime,
        Self::ReadBytes,
        Self::WrittenBytes,
        Self::IoWaiting,
        Self::ReceivedBytes,
        Self::SentBytes,
        Self::ReceiveDrops,
        Self::SendDrops,
    ];

    /// Name of the metric.
    pub(super) fn metric(self) -> &'static str {
        match self {
            Self::CpuUsage => "container_cpu_usage_seconds_total",
            Self::CfsPeriods => "container_cpu_cfs_periods_total",
            Self::CfsThrottled => "container_cpu_cfs_throttled_periods_total",
            Self::CpuWaiting => "container_pressure_cpu_waiting_seconds_total",
            Self::MajorFaults => "container_memory_failures_total",
            Self::MemoryWaiting => "container_pressure_memory_waiting_seconds_total",
            Self::IoTime => "container_fs_io_time_seconds_total",
            Self::ReadBytes => "container_fs_reads_bytes_total",
            Self::WrittenBytes => "container_fs_writes_bytes_total",
            Self::IoWaiting => "container_pressure_io_waiting_seconds_total",
            Self::ReceivedBytes => "container_network_receive_bytes_total",
            Self::SentBytes => "container_network_transmit_bytes_total",
            Self::ReceiveDrops => "container_network_receive_packets_dropped_total",
            Self::SendDrops => "container_network_transmit_packets_dropped_total",
        }
    }

    /// Whether it tells how much is used. The others tell what is short, and are rarer in the wild.
    pub(super) fn is_usage(self) -> bool {
        use Counter::{CpuUsage, ReadBytes, ReceivedBytes, SentBytes, WrittenBytes};
        matches!(self, CpuUsage | ReadBytes | WrittenBytes | ReceivedBytes | SentBytes)
    }

    /// Most it can grow per second, on a replica with this many cores.
    pub(super) fn rate_max(self, cores: usize) -> f64 {
        match self {
            Self::CpuUsage => cores as f64,
            Self::CfsPeriods | Self::CfsThrottled => CFS_PERIODS,
            Self::CpuWaiting | Self::MemoryWaiting | Self::IoTime | Self::IoWaiting => 1.0,
            _ => f64::INFINITY,
        }
    }

    /// What housekeeping alone makes it grow per second: nothing in the wild reads exactly zero.
    pub(super) fn background(self, kind: Kind) -> f64 {
        let on_disk = if kind == Kind::Database { 8.0 } else { 1.0 };
        match self {
            Self::CpuUsage => 0.01,
            Self::CfsPeriods => CFS_PERIODS,
            Self::CfsThrottled => 0.03,
            Self::CpuWaiting => 0.0015,
            Self::MajorFaults => 0.2,
            Self::MemoryWaiting => 0.0004,
            Self::IoTime => 0.003 * on_disk,
            Self::IoWaiting => 0.001 * on_disk,
            Self::ReadBytes => 3e3 * on_disk,
            Self::WrittenBytes => 2e4 * on_disk,
            Self::ReceivedBytes | Self::SentBytes => 600.0,
            Self::ReceiveDrops | Self::SendDrops => 0.02,
        }
    }
}

/// A number per counter.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Counters([f64; Counter::ALL.len()]);

impl Counters {
    /// What housekeeping alone makes each grow per second.
    pub(super) fn background(kind: Kind) -> Self {
        Self(Counter::ALL.map(|counter| counter.background(kind)))
    }

    /// Adds what grows at `rates` per second.
    pub(super) fn add(&mut self, rates: &Self, seconds: f64) {
        for (sum, rate) in self.0.iter_mut().zip(rates.0) {
            *sum += rate * seconds;
        }
    }
}

impl Index<Counter> for Counters {
    type Output = f64;

    fn index(&self, counter: Counter) -> &f64 {
        &self.0[counter as usize]
    }
}

impl IndexMut<Counter> for Counters {
    fn index_mut(&mut self, counter: Counter) -> &mut f64 {
        &mut self.0[counter as usize]
    }
}
