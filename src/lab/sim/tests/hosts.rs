//! A noisy neighbour slows the replicas of its host, and the host's metrics tell.

use std::collections::BTreeSet;

use super::support::{
    INTERVAL, crowd, fault, grown, growth, host_growth, p99, settled, untraced, values,
};
use crate::data::Scope;
use crate::lab::Feed;
use crate::lab::sim::{
    AppSpec, Fault, FaultKind, Observation, SimConfig, Simulator, chain, social_network,
};
use crate::window::builtin_features;

const THROTTLED: &str = "container_cpu_cfs_throttled_periods_total";
const WAITING: &str = "container_pressure_cpu_waiting_seconds_total";
const HOST_CPU: &str = "node_cpu_seconds_total";
const HOST_WAITING: &str = "node_pressure_cpu_waiting_seconds_total";

/// Four intervals of the chain, without and with `faults`.
fn both(faults: &[Fault]) -> [Vec<Observation>; 2] {
    let without = settled(&chain(), untraced());
    [&[][..], faults].map(|faults| {
        let mut sim = without.clone();
        (0..4).map(|_| sim.run(INTERVAL, 1.0, faults)).collect()
    })
}

#[test]
fn every_host_has_replicas_of_several_services() {
    for app in [chain(), social_network()] {
        let hosts = app.hosts();
        assert!(hosts.iter().zip(&app.services).all(|(h, s)| h.len() == s.replicas));
        for host in 0..app.nodes {
            let services = hosts.iter().filter(|h| h.contains(&host)).count();
            assert!(services >= 2, "{} {host}: {services}", app.name);
        }
    }
}

#[test]
fn a_neighbour_makes_the_replicas_of_its_host_wait_unthrottled_and_spares_the_others() {
    let app = chain();
    let [without, with] = both(&crowd(&app, 1, 1.0));
    for (service, hosts) in app.services.iter().zip(app.hosts()) {
        let of = |seen, metric| -> Vec<f64> {
            values(seen, metric, &service.name).iter().map(|v| grown(v)).collect()
        };
        let (before, after) = (of(&without, WAITING), of(&with, WAITING));
        for (replica, host) in hosts.iter().enumerate() {
            let ratio = after[replica] / before[replica];
            let name = &service.name;
            if *host == 1 {
                assert!(ratio > 2.0, "{name}-{replica}: {ratio}");
            } else {
                assert!(ratio < 1.3, "{name}-{replica}: {ratio}");
            }
            let throttled = of(&with, THROTTLED)[replica] / of(&without, THROTTLED)[replica];
            assert!(throttled < 1.3, "{name}-{replica}: {throttled}");
        }
    }
}

#[test]
fn a_neighbour_hurts_the_more_the_stronger_it_is_and_takes_nothing_from_quotas() {
    let app = chain();
    let mut tails = vec![p99(&both(&[])[0][3])];
    for strength in [0.3, 1.0, 3.0] {
        let [without, with] = both(&crowd(&app, 1, strength));
        tails.push(p99(&with[3]));
        for service in ["chain-4", "chain-2"] {
            let cpu = "container_cpu_usage_seconds_total";
            let ratio = growth(&with, cpu, service) / growth(&without, cpu, service);
            // Threads that are held for longer poll for longer.
            assert!(ratio < 1.15, "{service} at {strength}: {ratio}");
        }
    }
    assert!(tails.is_sorted() && tails[2] > 1.5 * tails[0], "{tails:?}");
}

#[test]
fn a_neighbour_shows_on_its_host_alone() {
    let [without, with] = both(&crowd(&chain(), 1, 1.0));
    let ratio = |metric, mode, host| {
        host_growth(&with, metric, mode, host) / host_growth(&without, metric, mode, host)
    };
    let moved = [(HOST_CPU, "user"), (HOST_CPU, "system"), (HOST_WAITING, "")];
    for (metric, mode) in moved {
        assert!(ratio(metric, mode, 1) > 1.5, "{metric} {mode}: {}", ratio(metric, mode, 1));
        for host in [0, 2, 3] {
            let other = ratio(metric, mode, host);
            assert!((0.7..1.3).contains(&other), "{metric} {mode} of {host}: {other}");
        }
    }
    for (metric, mode) in [(HOST_CPU, "steal"), ("node_vmstat_pgmajfault", "")] {
        let same = ratio(metric, mode, 1);
        assert!((0.99..1.01).contains(&same), "{metric} {mode}: {same}");
    }
}

#[test]
fn a_neighbour_is_one_job_however_many_replicas_it_harms() {
    let all = crowd(&chain(), 1, 1.0);
    let cpu = |faults: &[Fault]| host_growth(&both(faults)[1], HOST_CPU, "user", 1);
    let (many, one) = (cpu(&all), cpu(&all[..1]));
    assert!(all.len() > 1 && (many / one - 1.0).abs() < 0.05, "{many} {one}");
}

#[test]
fn a_host_uses_what_its_replicas_use_and_a_little_more() {
    let app = chain();
    let seen = &both(&[])[0];
    let hosts: f64 = (0..app.nodes)
        .flat_map(|host| ["user", "system"].map(|mode| host_growth(seen, HOST_CPU, mode, host)))
        .sum();
    let cpu = "container_cpu_usage_seconds_total";
    let replicas: f64 = app.services.iter().map(|s| growth(seen, cpu, &s.name)).sum();
    // From the first scrape to the last, 15 seconds less than four intervals.
    let daemons = (hosts - replicas) / 105.0 / app.nodes as f64;
    assert!((0.05..0.25).contains(&daemons), "{hosts} {replicas} {daemons}");
}

#[test]
fn trouble_of_a_replica_shows_on_its_host_too() {
    let app = chain();
    for (kind, metric) in [
        (FaultKind::Cpu, HOST_WAITING),
        (FaultKind::Memory, "node_vmstat_pgmajfault"),
        (FaultKind::Disk, "node_disk_io_time_seconds_total"),
        (FaultKind::Network, "node_netstat_Tcp_RetransSegs"),
    ] {
        let [without, with] = both(&[fault(&app, "chain-5", kind, 1.0)]);
        let of = |seen, host| host_growth(seen, metric, "", host);
        assert!(of(&with, 0) > 1.5 * of(&without, 0), "{kind}");
        assert!(of(&with, 1) < 1.3 * of(&without, 1), "{kind}");
    }
}

#[test]
fn hosts_show_what_the_built_in_features_read_and_services_have_those_of_their_host() {
    let mut sim = settled(&chain(), SimConfig::default());
    let seen = sim.run(INTERVAL, 1.0, &[]);
    let is_host = |s: &&crate::data::Series| s.label("job").is_some_and(|j| j == "node-exporter");
    let shown: BTreeSet<String> = seen
        .series
        .iter()
        .filter(is_host)
        .map(|s| s.label("__name__").unwrap().to_string())
        .collect();
    let of_nodes = || builtin_features().into_iter().filter(|f| f.scope == Scope::Node);
    assert_eq!(shown, of_nodes().map(|f| f.metric).collect());
    let mut feed = Feed::new(INTERVAL);
    feed.push(seen);
    let frames: Vec<_> = (0..2).flat_map(|_| feed.push(sim.run(INTERVAL, 1.0, &[]))).collect();
    for service in &frames.last().unwrap().services {
        let features: BTreeSet<&str> = service.features.iter().map(|f| &*f.name).collect();
        let missing: Vec<_> = of_nodes().filter(|f| !features.contains(&*f.name)).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", service.service);
    }
}

#[test]
fn without_a_node_exporter_everything_else_is_the_same() {
    let run = |app: &AppSpec, node_exporter| {
        let config = SimConfig { node_exporter, ..SimConfig::default() };
        let mut sim = Simulator::new(app, config, 5, 0).unwrap();
        sim.run(INTERVAL, 1.0, &crowd(app, 0, 1.0))
    };
    let (mut with, without) = (run(&chain(), true), run(&chain(), false));
    let before = with.series.len();
    with.series.retain(|s| !s.label("__name__").unwrap().starts_with("node_"));
    assert_eq!(before - with.series.len(), 10 * chain().nodes);
    assert_eq!(format!("{with:?}"), format!("{without:?}"));
}
