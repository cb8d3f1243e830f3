//! Series are what Prometheus would scrape.

use std::collections::{BTreeMap, BTreeSet};

use super::support::{INTERVAL, fault, growth, level, settled, untraced, values};
use crate::data::Labels;
use crate::lab::sim::{
    AppSpec, FaultKind, Observation, SimConfig, Simulator, chain, social_network,
};

const THROTTLED: &str = "container_cpu_cfs_throttled_periods_total";
const MAJOR_FAULTS: &str = "container_memory_failures_total";
const IO_TIME: &str = "container_fs_io_time_seconds_total";
const SEND_DROPS: &str = "container_network_transmit_packets_dropped_total";
const SHORTAGES: [&str; 7] = [
    THROTTLED,
    MAJOR_FAULTS,
    IO_TIME,
    SEND_DROPS,
    "container_pressure_cpu_waiting_seconds_total",
    "container_pressure_memory_waiting_seconds_total",
    "container_pressure_io_waiting_seconds_total",
];

/// Four intervals, without and with a fault.
fn both(app: &AppSpec, service: &str, kind: FaultKind, strength: f64) -> [Vec<Observation>; 2] {
    let without = settled(app, untraced());
    let faults = [fault(app, service, kind, strength)];
    [&[][..], &faults].map(|faults| {
        let mut sim = without.clone();
        (0..4).map(|_| sim.run(INTERVAL, 1.0, faults)).collect()
    })
}

#[test]
fn each_shortage_shows_in_its_own_metric() {
    for (kind, metric) in [
        (FaultKind::Cpu, THROTTLED),
        (FaultKind::Memory, MAJOR_FAULTS),
        (FaultKind::Disk, IO_TIME),
        (FaultKind::Network, SEND_DROPS),
    ] {
        let [without, with] = both(&chain(), "chain-3", kind, 1.0);
        let ratio = |metric| growth(&with, metric, "chain-3") / growth(&without, metric, "chain-3");
        assert!(ratio(metric) > 5.0, "{kind}: {}", ratio(metric));
        for other in [THROTTLED, MAJOR_FAULTS, IO_TIME, SEND_DROPS] {
            assert!(other == metric || 3.0 * ratio(other) < ratio(metric), "{kind} {other}");
        }
    }
}

#[test]
fn no_metric_of_a_shortage_tells_of_a_bug() {
    for kind in FaultKind::ALL.into_iter().filter(|k| k.is_bug()) {
        let [without, with] = both(&chain(), "chain-2", kind, 1.0);
        for shortage in SHORTAGES {
            let ratio = growth(&with, shortage, "chain-2") / growth(&without, shortage, "chain-2");
            assert!(ratio < 1.3, "{kind} {shortage}: {ratio}");
        }
    }
}

#[test]
fn back_pressure_raises_usage_upstream_of_a_culprit_and_no_shortage() {
    let [without, with] = both(&chain(), "chain-5", FaultKind::Cpu, 3.0);
    let memory = "container_memory_working_set_bytes";
    for upstream in ["chain-1", "chain-2"] {
        let ratio = level(&with, memory, upstream) / level(&without, memory, upstream);
        assert!(ratio > 1.1, "{upstream}: {ratio}");
        for shortage in SHORTAGES {
            let ratio = growth(&with, shortage, upstream) / growth(&without, shortage, upstream);
            assert!(ratio < 1.3, "{upstream} {shortage}: {ratio}");
        }
    }
}

#[test]
fn counters_never_decrease_and_are_sampled_as_often_as_asked() {
    let app = social_network();
    let mut sim = Simulator::new(&app, untraced(), 2, 0).unwrap();
    let faults = FaultKind::ALL.map(|kind| fault(&app, "post-storage-service", kind, 1.0));
    let mut last: BTreeMap<Labels, (i64, f64)> = BTreeMap::new();
    for faults in [&[][..], &faults, &[]] {
        for series in sim.run(INTERVAL, 1.0, faults).series {
            let is_counter = series.label("__name__").unwrap().ends_with("_total");
            for sample in &*series.samples {
                let now = (sample.time_ms, sample.value);
                if let Some((time_ms, value)) = last.insert(series.labels.clone(), now) {
                    assert!(!is_counter || sample.value >= value, "{:?}", series.labels);
                    // A probe that is lost leaves a gap.
                    assert_eq!((sample.time_ms - time_ms) % 15_000, 0);
                }
            }
        }
    }
    let replicas: usize = app.services.iter().map(|s| s.replicas).sum();
    assert_eq!(last.len(), 15 * replicas + app.services.len() + 10 * app.nodes);
}

#[test]
fn labels_are_sorted_and_say_whose_metric_it_is() {
    let seen = settled(&chain(), untraced()).run(INTERVAL, 1.0, &[]);
    let mut texts = BTreeSet::new();
    for series in &seen.series {
        assert!(series.labels.iter().is_sorted_by(|a, b| a.0 < b.0), "{:?}", series.labels);
        let pair = |(n, v): (&str, &str)| format!("{n}={v}");
        texts.insert(series.labels.iter().map(pair).collect::<Vec<_>>().join(" "));
    }
    for expected in [
        "__name__=container_memory_failures_total container=chain-4 failure_type=pgmajfault \
         instance=node-2:10250 job=kubelet namespace=lab node=node-2 pod=chain-4-1 scope=container",
        "__name__=container_memory_working_set_bytes container=chain-5 instance=node-0:10250 \
         job=kubelet namespace=lab node=node-0 pod=chain-5-0",
        "__name__=node_cpu_seconds_total instance=node-3:9100 job=node-exporter mode=system \
         node=node-3",
        "__name__=node_vmstat_pgmajfault instance=node-0:9100 job=node-exporter node=node-0",
        "__name__=probe_icmp_duration_seconds instance=http://chain-1:80 job=blackbox phase=rtt \
         service=chain-1",
    ] {
        assert!(texts.contains(expected), "{expected} in {texts:#?}");
    }
}

#[test]
fn poor_monitoring_shows_usage_only() {
    let config = SimConfig { usage_metrics_only: true, ..untraced() };
    let seen = settled(&chain(), config).run(INTERVAL, 1.0, &[]);
    let names: BTreeSet<String> =
        seen.series.iter().map(|s| s.label("__name__").unwrap().to_string()).collect();
    let expected = [
        "container_cpu_usage_seconds_total",
        "container_fs_reads_bytes_total",
        "container_fs_writes_bytes_total",
        "container_memory_working_set_bytes",
        "container_network_receive_bytes_total",
        "container_network_transmit_bytes_total",
        "node_cpu_seconds_total",
    ];
    assert!(names.iter().eq(expected), "{names:?}");
}

#[test]
fn lost_scrapes_leave_gaps_that_counters_bridge() {
    let seen = |missing_metrics| {
        let config = SimConfig { missing_metrics, ..untraced() };
        let mut sim = settled(&chain(), config);
        (0..20).map(|_| sim.run(INTERVAL, 1.0, &[])).collect::<Vec<_>>()
    };
    let samples = |seen: &[Observation]| {
        values(seen, "container_cpu_usage_seconds_total", "chain-2").concat()
    };
    let (all, half) = (samples(&seen(0.0)), samples(&seen(0.5)));
    assert!((25..55).contains(&half.len()) && all.len() == 80, "{}", half.len());
    assert!(half.iter().all(|v| all.contains(v)));
}
