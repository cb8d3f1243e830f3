//! Shortages and bugs hurt, bystanders do not, and the difference is exactly the fault's.

use std::collections::BTreeMap;

use super::support::{INTERVAL, fault, growth, level, p99, settled, untraced, values};
use crate::data::{Half, Span};
use crate::lab::sim::{
    AppSpec, Fault, FaultKind, SimConfig, chain, fanout, hotel_reservation, social_network,
};

use FaultKind::{Cpu, Disk, FewConnections, FewThreads, LockContention, Memory, Network};

/// By how much a fault raises p99 over a clone that runs without it.
fn harm(app: &AppSpec, service: &str, kind: FaultKind, strength: f64) -> f64 {
    let mut without = settled(app, untraced());
    let mut with = without.clone();
    let quiet = without.run(INTERVAL, 1.0, &[]);
    let struck = with.run(INTERVAL, 1.0, &[fault(app, service, kind, strength)]);
    assert_eq!(quiet.truth.arrived, struck.truth.arrived, "same arrivals");
    p99(&struck) / p99(&quiet)
}

#[test]
fn a_moderate_fault_on_the_hot_path_raises_the_tail() {
    for (app, service, kind, least) in [
        (chain(), "chain-4", Cpu, 2.0),
        (chain(), "chain-2", Memory, 1.5),
        (chain(), "chain-2", Disk, 1.2),
        (chain(), "chain-3", Network, 2.0),
        (chain(), "chain-4", LockContention, 2.0),
        (chain(), "chain-1", FewThreads, 2.0),
        (chain(), "chain-3", FewConnections, 1.5),
        (fanout(), "fanout-leaf-5", Cpu, 2.0),
        (social_network(), "post-storage-service", Cpu, 1.5),
        (social_network(), "post-storage-mongodb", Disk, 1.5),
        (hotel_reservation(), "reservation", Cpu, 1.5),
        (hotel_reservation(), "rate", Network, 1.5),
    ] {
        let harm = harm(&app, service, kind, 1.0);
        assert!(harm > least, "{kind} of {service}: {harm}");
    }
}

#[test]
fn a_stronger_fault_hurts_more() {
    for kind in [Cpu, Memory, Disk, Network, LockContention] {
        let harms = [0.3, 1.0, 3.0].map(|strength| harm(&chain(), "chain-4", kind, strength));
        assert!(harms[0] < harms[1] && harms[1] < harms[2], "{kind}: {harms:?}");
    }
}

#[test]
fn a_fault_changes_neither_branches_nor_replicas_of_requests() {
    let app = social_network();
    let mut without = settled(&app, SimConfig::default());
    let mut with = without.clone();
    let strike = [fault(&app, "post-storage-service", Memory, 1.0)];
    let taken = |spans: Vec<Span>| {
        let mut traces: BTreeMap<u128, Vec<_>> = BTreeMap::new();
        for s in spans {
            traces.entry(s.trace).or_default().push((s.id, s.parent, s.replica, s.op));
        }
        traces.values_mut().for_each(|t| t.sort());
        traces
    };
    let quiet = taken(without.run(INTERVAL, 1.0, &[]).spans);
    let struck = taken(with.run(INTERVAL, 1.0, &strike).spans);
    let same = quiet.iter().filter(|(trace, spans)| struck.get(trace) == Some(spans)).count();
    // The rest is still under way at one of the ends of the interval.
    assert!(same as f64 > 0.99 * quiet.len() as f64, "{same} of {}", quiet.len());
}

#[test]
fn bystanders_move_metrics_and_no_latency_at_all() {
    let (app, tier) = (hotel_reservation(), "rate");
    let quiet = settled(&app, untraced());
    let without = quiet.clone().run(INTERVAL, 1.0, &[]);
    for (kind, usage) in [
        (FaultKind::LoudCpu, "container_cpu_usage_seconds_total"),
        (FaultKind::LoudDisk, "container_fs_writes_bytes_total"),
        (FaultKind::LoudNetwork, "container_network_receive_bytes_total"),
        (FaultKind::LoudMemory, "container_memory_working_set_bytes"),
    ] {
        let with = quiet.clone().run(INTERVAL, 1.0, &[fault(&app, tier, kind, 2.0)]);
        assert_eq!(without.truth, with.truth, "{kind}");
        let seen = |o| {
            if kind == FaultKind::LoudMemory {
                level(o, usage, tier)
            } else {
                growth(o, usage, tier)
            }
        };
        let (before, after) = (seen(std::slice::from_ref(&without)), seen(&[with]));
        assert!(after > 1.5 * before, "{kind}: {before} -> {after}");
    }
}

#[test]
fn a_fault_is_over_with_its_interval() {
    let app = chain();
    let mut sim = settled(&app, untraced());
    let before = p99(&sim.clone().run(INTERVAL, 1.0, &[]));
    let all = FaultKind::ALL.map(|kind| fault(&app, "chain-3", kind, 2.0));
    assert!(p99(&sim.run(INTERVAL, 1.0, &all)) > 10.0 * before);
    sim.run(INTERVAL, 1.0, &[]);
    let after = p99(&sim.run(INTERVAL, 1.0, &[]));
    assert!(after < 1.3 * before, "{before} -> {after}");
}

#[test]
fn a_fault_of_one_replica_spares_the_others() {
    let app = chain();
    let mut sim = settled(&app, untraced());
    let one = Fault { replica: Some(1), ..fault(&app, "chain-4", Cpu, 1.0) };
    let seen = [sim.run(INTERVAL, 1.0, &[one]), sim.run(INTERVAL, 1.0, &[one])];
    let throttled = values(&seen, "container_cpu_cfs_throttled_periods_total", "chain-4")
        .iter()
        .map(|v| v[v.len() - 1] - v[0])
        .collect::<Vec<_>>();
    assert!(throttled[1] > 5.0 * throttled[0], "{throttled:?}");
}

#[test]
fn a_fault_of_nothing_harms_nobody() {
    let app = chain();
    let sim = settled(&app, untraced());
    let nowhere = Fault { service: 999, kind: Cpu, strength: 3.0, replica: None };
    let no_replica = Fault { replica: Some(999), ..fault(&app, "chain-1", Cpu, 3.0) };
    let weightless = fault(&app, "chain-1", FewThreads, f64::NAN);
    let with = sim.clone().run(INTERVAL, 1.0, &[nowhere, no_replica, weightless]);
    assert_eq!(with.truth, sim.clone().run(INTERVAL, 1.0, &[]).truth);
}

/// Mean time from the start of a call's client half to the start of its server half, and from end
/// to end, milliseconds.
fn delays(spans: &[Span], callee: &str) -> (f64, f64) {
    let clients: BTreeMap<u64, &Span> =
        spans.iter().filter(|s| s.half == Half::Client).map(|s| (s.id, s)).collect();
    let called = |s: &&Span| &*s.service == callee && clients.contains_key(&s.parent);
    let (mut request, mut response, mut count) = (0.0, 0.0, 0.0);
    for server in spans.iter().filter(called) {
        let client = clients[&server.parent];
        request += (server.start_ns - client.start_ns) as f64 / 1e6;
        response += (client.end_ns - server.end_ns) as f64 / 1e6;
        count += 1.0;
    }
    (request / count, response / count)
}

#[test]
fn a_bad_network_delays_what_the_service_sends_and_not_what_it_gets() {
    let app = chain();
    let mut sim = settled(&app, SimConfig::default());
    let spans = sim.run(INTERVAL, 1.0, &[fault(&app, "chain-3", Network, 1.0)]).spans;
    let ((to, back), (onward, returned)) = (delays(&spans, "chain-3"), delays(&spans, "chain-4"));
    assert!(to < 1.0 && back > 10.0, "{to} {back}");
    assert!(onward > 10.0 && returned < 1.0, "{onward} {returned}");
}

#[test]
fn waiting_for_a_connection_is_the_callers_own_time() {
    let app = chain();
    let mut sim = settled(&app, SimConfig::default());
    let longest = |spans: &[Span], half, service| {
        let of = spans.iter().filter(|s| s.half == half && &*s.service == service);
        of.map(Span::duration_ns).max().unwrap() as f64 / 1e6
    };
    let spans = sim.run(INTERVAL, 1.0, &[fault(&app, "chain-3", FewConnections, 3.0)]).spans;
    let call = longest(&spans, Half::Client, "chain-3");
    let whole = longest(&spans, Half::Server, "chain-3");
    assert!(whole > 2.0 * call, "{call} {whole}");
}
