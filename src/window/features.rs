//! The built-in feature table: cAdvisor and kubelet, process exporter, node exporter, blackbox, and
//! what client libraries say about their own process.

use std::collections::BTreeMap;

use crate::data::{Divisor, FeatureSpec, MetricKind, Role, Scale, Scope, Signal};

use MetricKind::{Counter, Duration, Gauge, Lost};
use Role::{Cpu, Disk, Load, Memory, Network};

/// name, metric, kind, role, divisor, unit, matchers
type Row = (
    &'static str,
    &'static str,
    MetricKind,
    Role,
    Option<&'static str>,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CONTAINER: &[Row] = &[
    ("cpu_usage", "container_cpu_usage_seconds_total", Counter, Cpu, None, "cores", &[]),
    (
        "cpu_throttled_ratio",
        "container_cpu_cfs_throttled_periods_total",
        Counter,
        Cpu,
        Some("container_cpu_cfs_periods_total"),
        "ratio",
        &[],
    ),
    (
        "cpu_runqueue",
        "container_cpu_schedstat_runqueue_seconds_total",
        Counter,
        Cpu,
        None,
        "s/s",
        &[],
    ),
    (
        "cpu_pressure",
        "container_pressure_cpu_waiting_seconds_total",
        Counter,
        Cpu,
        None,
        "s/s",
        &[],
    ),
    ("memory_working_set", "container_memory_working_set_bytes", Gauge, Memory, None, "bytes", &[]),
    (
        "memory_major_faults",
        "container_memory_failures_total",
        Counter,
        Memory,
        None,
        "1/s",
        &[("failure_type", "pgmajfault"), ("scope", "!hierarchy")],
    ),
    ("memory_limit_hits", "container_memory_failcnt", Counter, Memory, None, "1/s", &[]),
    (
        "memory_pressure",
        "container_pressure_memory_waiting_seconds_total",
        Counter,
        Memory,
        None,
        "s/s",
        &[],
    ),
    ("disk_io_time", "container_fs_io_time_seconds_total", Counter, Disk, None, "s/s", &[]),
    ("disk_read", "container_fs_reads_bytes_total", Counter, Disk, None, "bytes/s", &[]),
    ("disk_write", "container_fs_writes_bytes_total", Counter, Disk, None, "bytes/s", &[]),
    (
        "disk_pressure",
        "container_pressure_io_waiting_seconds_total",
        Counter,
        Disk,
        None,
        "s/s",
        &[],
    ),
    (
        "network_receive",
        "container_network_receive_bytes_total",
        Counter,
        Load,
        None,
        "bytes/s",
        &[],
    ),
    (
        "network_transmit",
        "container_network_transmit_bytes_total",
        Counter,
        Load,
        None,
        "bytes/s",
        &[],
    ),
    (
        "network_receive_drops",
        "container_network_receive_packets_dropped_total",
        Counter,
        Network,
        None,
        "1/s",
        &[],
    ),
    (
        "network_transmit_drops",
        "container_network_transmit_packets_dropped_total",
        Counter,
        Network,
        None,
        "1/s",
        &[],
    ),
    (
        "network_retransmits",
        "container_network_advance_tcp_stats_total",
        Counter,
        Network,
        None,
        "1/s",
        &[("tcp_state", "retranssegs|tcpretransfail|RetransSegs")],
    ),
];

const PROCESS: &[Row] = &[
    ("process_cpu", "namedprocess_namegroup_cpu_seconds_total", Counter, Cpu, None, "cores", &[]),
    (
        "process_memory",
        "namedprocess_namegroup_memory_bytes",
        Gauge,
        Memory,
        None,
        "bytes",
        &[("memtype", "resident")],
    ),
    (
        "process_major_faults",
        "namedprocess_namegroup_major_page_faults_total",
        Counter,
        Memory,
        None,
        "1/s",
        &[],
    ),
    (
        "process_read",
        "namedprocess_namegroup_read_bytes_total",
        Counter,
        Disk,
        None,
        "bytes/s",
        &[],
    ),
    (
        "process_write",
        "namedprocess_namegroup_write_bytes_total",
        Counter,
        Disk,
        None,
        "bytes/s",
        &[],
    ),
    ("own_cpu", "process_cpu_seconds_total", Counter, Cpu, None, "cores", &[]),
    ("own_memory", "process_resident_memory_bytes", Gauge, Memory, None, "bytes", &[]),
];

const NODE: &[Row] = &[
    (
        "node_cpu_busy",
        "node_cpu_seconds_total",
        Counter,
        Cpu,
        None,
        "cores",
        &[("mode", "!idle|iowait|steal")],
    ),
    ("node_cpu_steal", "node_cpu_seconds_total", Counter, Cpu, None, "cores", &[("mode", "steal")]),
    (
        "node_cpu_pressure",
        "node_pressure_cpu_waiting_seconds_total",
        Counter,
        Cpu,
        None,
        "s/s",
        &[],
    ),
    ("node_major_faults", "node_vmstat_pgmajfault", Counter, Memory, None, "1/s", &[]),
    (
        "node_memory_pressure",
        "node_pressure_memory_waiting_seconds_total",
        Counter,
        Memory,
        None,
        "s/s",
        &[],
    ),
    ("node_disk_io_time", "node_disk_io_time_seconds_total", Counter, Disk, None, "s/s", &[]),
    (
        "node_disk_pressure",
        "node_pressure_io_waiting_seconds_total",
        Counter,
        Disk,
        None,
        "s/s",
        &[],
    ),
    ("node_retransmits", "node_netstat_Tcp_RetransSegs", Counter, Network, None, "1/s", &[]),
    ("node_receive_drops", "node_network_receive_drop_total", Counter, Network, None, "1/s", &[]),
];

/// Blackbox exporter says 0 s of a ping that is not answered. Of requests that get no connection, too, but whoever
/// refuses one may be at the other end of the network or on it.
const PROBE: &[Row] = &[
    ("probe_rtt", "probe_icmp_duration_seconds", Duration, Network, None, "s", &[("phase", "rtt")]),
    (
        "probe_loss",
        "probe_icmp_duration_seconds",
        Lost,
        Network,
        None,
        "ratio",
        &[("phase", "rtt")],
    ),
    (
        "probe_connect",
        "probe_http_duration_seconds",
        Duration,
        Network,
        None,
        "s",
        &[("phase", "connect")],
    ),
];

/// Features that tell of somebody going without; the rest tell of use.
const SATURATION: &[&str] = &[
    "cpu_throttled_ratio",
    "cpu_runqueue",
    "cpu_pressure",
    "memory_major_faults",
    "disk_io_time",
    "network_receive_drops",
    "network_transmit_drops",
    "network_retransmits",
    "process_major_faults",
    "node_cpu_steal",
    "node_cpu_pressure",
    "node_major_faults",
    "node_disk_io_time",
    "node_retransmits",
    "node_receive_drops",
    "probe_rtt",
    "probe_loss",
    "probe_connect",
];

/// Features that tell how long somebody waited. The kernel counts a process that its quota stops as neither waiting
/// nor running, so for processors there is none.
const STALL: &[&str] =
    &["memory_pressure", "disk_pressure", "node_memory_pressure", "node_disk_pressure"];

/// Features that tell how often a limit was hit for no want of anything else. Throttling is none: pages are taken back
/// on the quota of whoever needs others.
const LIMIT: &[&str] = &["memory_limit_hits"];

/// The table that is used when the configuration has none of its own.
pub fn builtin_features() -> Vec<FeatureSpec> {
    let tables = [
        (CONTAINER, Scope::Service),
        (PROCESS, Scope::Service),
        (NODE, Scope::Node),
        (PROBE, Scope::Probe),
    ];
    let rows = tables.iter().flat_map(|(rows, scope)| rows.iter().map(|row| spec(row, *scope)));
    rows.chain(limits()).collect()
}

/// Use as a share of the limit, from cAdvisor's own view of it and from kube-state-metrics'.
fn limits() -> Vec<FeatureSpec> {
    let kube = |resource: &str| Divisor {
        metric: "kube_pod_container_resource_limits".into(),
        kind: Gauge,
        matchers: BTreeMap::from([("resource".into(), resource.into())]),
    };
    let gauge =
        |metric: &str| Divisor { metric: metric.into(), kind: Gauge, matchers: BTreeMap::new() };
    let (cpu, memory) = ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes");
    // A quota is given in microseconds per period; the period is 100 ms unless somebody changed it.
    const QUOTA_PER_CORE: f64 = 100_000.0;
    [
        ("cpu_limit_ratio", cpu, Counter, Cpu, kube("cpu"), 1.0),
        ("cpu_quota_ratio", cpu, Counter, Cpu, gauge("container_spec_cpu_quota"), QUOTA_PER_CORE),
        (
            "memory_limit_ratio",
            memory,
            Gauge,
            Memory,
            gauge("container_spec_memory_limit_bytes"),
            1.0,
        ),
        ("memory_kube_limit_ratio", memory, Gauge, Memory, kube("memory"), 1.0),
    ]
    .into_iter()
    .map(|(name, metric, kind, resource, per, factor)| FeatureSpec {
        name: name.into(),
        metric: metric.into(),
        kind,
        resource,
        per: Some(per),
        factor,
        scale: Scale::Headroom,
        signal: Signal::Saturation,
        scope: Scope::Service,
        unit: "ratio".into(),
        matchers: BTreeMap::new(),
    })
    .collect()
}

fn spec(row: &Row, scope: Scope) -> FeatureSpec {
    let (name, metric, kind, resource, per, unit, matchers) = *row;
    FeatureSpec {
        name: name.into(),
        metric: metric.into(),
        kind,
        resource,
        per: per.map(|metric| Divisor { metric: metric.into(), kind, matchers: BTreeMap::new() }),
        factor: 1.0,
        scale: Scale::Log,
        signal: match name {
            _ if STALL.contains(&name) => Signal::Stall,
            _ if LIMIT.contains(&name) => Signal::Limit,
            _ if SATURATION.contains(&name) => Signal::Saturation,
            _ => Signal::Usage,
        },
        scope,
        unit: unit.into(),
        matchers: matchers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
    }
}
