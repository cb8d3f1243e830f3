//! What a verdict shows beside the culprits.

use super::scene::{CALM, Scene, TARGET_MS, alert, assert_ms, history};
use super::town::CALM_MS;
use super::town::Trouble::{Bug, Short};
use crate::data::Resource::{Cpu, Memory};
use crate::data::{Replica, ReplicaWindow, Signal};

#[test]
fn the_path_leads_from_the_entry_to_the_culprit_hop_by_hop() {
    let verdict = Scene::after_calm(&[Short("db", Cpu, 30.0)]).verdict();
    let hops: Vec<&str> = verdict.path.iter().map(|s| s.rpc.as_str()).collect();
    let expected = ["user -> front get", "front (get) -> cart list", "cart (list) -> db read"];
    assert_eq!(hops, expected);
    for (step, normal) in verdict.path.iter().zip([CALM_MS, 8.8, 4.4]) {
        assert_ms(step.normal_ms, normal);
        assert_ms(step.observed_ms, normal + 30.0);
        assert_ms(step.counterfactual_ms, normal);
    }
}

#[test]
fn the_path_to_a_culprit_at_the_entry_is_one_step() {
    let verdict = Scene::after_calm(&[Bug("front", 30.0)]).verdict();
    assert_eq!(verdict.path.len(), 1);
    assert_eq!(verdict.path[0].rpc, "user -> front get");
}

/// cache is called by search and by ads; whichever of them grew more is the way the trouble came.
#[test]
fn of_two_ways_to_the_culprit_the_path_takes_the_one_that_grew_most() {
    for way in ["search", "ads"] {
        let verdict = Scene::after_calm(&[Short("cache", Cpu, 30.0), Bug(way, 10.0)]).verdict();
        assert_eq!(verdict.root_causes[0].service, "cache");
        let hops: Vec<&str> = verdict.path.iter().map(|s| s.rpc.as_str()).collect();
        assert_eq!(hops.len(), 3);
        assert!(hops[1].starts_with(&format!("front (get) -> {way} ")), "{way}: {hops:?}");
    }
}

#[test]
fn metrics_of_a_culprit_stand_beside_their_normal_the_strongest_first() {
    let verdict = Scene::after_calm(&[Short("db", Cpu, 30.0), Short("db", Memory, 12.0)]).verdict();
    let metrics = &verdict.root_causes[0].metrics;
    let shown: Vec<(&str, f64, f64)> =
        metrics.iter().map(|m| (m.name.as_str(), m.observed, m.normal)).collect();
    assert_eq!(shown, [("cpu_throttled", 31.0, 1.0), ("memory_faults", 13.0, 1.0)]);
}

#[test]
fn the_replica_that_stands_out_is_named_with_its_host() {
    let verdict = Scene::after_calm(&[Short("db", Cpu, 30.0)]).verdict();
    let cause = &verdict.root_causes[0];
    assert_eq!(
        (&cause.replicas[..], &cause.nodes[..]),
        (&["db-0".into()][..], &["host-0".into()][..])
    );
}

#[test]
fn replicas_that_are_alike_are_all_named() {
    let verdict = Scene::after_calm(&[Bug("db", 30.0)]).verdict();
    assert_eq!(verdict.root_causes[0].replicas, ["db-0", "db-1"]);
    assert_eq!(verdict.root_causes[0].nodes, ["host-0", "host-1"]);
}

/// A bug shows in no metric; the slow requests show where it is, unless there are too few of them.
#[test]
fn a_replica_without_a_metric_for_a_witness_is_named_for_its_slow_requests() {
    let seen = |name: &str, count, slow| ReplicaWindow {
        service: "db".into(),
        replica: Replica { name: name.into(), node: "host-7".into() },
        count,
        slow,
    };
    let named = |trouble, slow: [u64; 2]| {
        let mut scene = Scene::new(history(&[(CALM, &[]), (1, &[trouble])]), alert(CALM));
        let mut last = (**scene.history.last().unwrap()).clone();
        last.replicas = vec![seen("db-0", 100, slow[0]), seen("db-1", 100, slow[1])];
        *scene.history.last_mut().unwrap() = last.into();
        let cause = scene.verdict().root_causes.remove(0);
        (cause.replicas, cause.nodes)
    };
    let of = |replicas: &[&str], nodes: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        (owned(replicas), owned(nodes))
    };
    assert_eq!(named(Bug("db", 30.0), [1, 24]), of(&["db-1"], &["host-7"]));
    assert_eq!(named(Bug("db", 30.0), [8, 12]), of(&["db-0", "db-1"], &["host-0", "host-1"]));
    // The metric that proves what is short goes first.
    assert_eq!(named(Short("db", Cpu, 30.0), [1, 24]), of(&["db-0"], &["host-0"]));
}

/// What is short under three times the usual load is short because of it.
#[test]
fn a_load_far_above_the_usual_is_noted() {
    let noted = |times: u64| {
        let mut scene = Scene::after_calm(&[Short("db", Cpu, 30.0)]);
        let mut last = (**scene.history.last().unwrap()).clone();
        last.rpcs.iter_mut().for_each(|r| r.count *= times);
        *scene.history.last_mut().unwrap() = last.into();
        scene.verdict().notes.get("load").cloned()
    };
    assert_eq!(noted(1), None);
    assert_eq!(noted(3).as_deref(), Some("front gets 3.0 times as many requests as usual"));
}

/// A bug beside metrics that would show a shortage is one; beside metrics of use alone it may be anything.
#[test]
fn that_no_metric_would_show_a_shortage_is_noted() {
    let noted = |signal: Signal| {
        let mut scene = Scene::after_calm(&[Bug("db", 30.0)]);
        let mut last = (**scene.history.last().unwrap()).clone();
        let features = last.services.iter_mut().flat_map(|s| &mut s.features);
        features.for_each(|f| f.signal = signal);
        *scene.history.last_mut().unwrap() = last.into();
        scene.verdict().notes.get("metrics").cloned()
    };
    assert_eq!(noted(Signal::Saturation), None);
    let said = noted(Signal::Usage).unwrap();
    assert!(said.ends_with("throttling, waiting or loss of db"), "{said}");
}

/// From what would have helped most to what would have changed nothing: cart is hardly slower than ever.
#[test]
fn services_are_listed_by_their_counterfactual_and_the_more_it_helps_the_likelier_it_is() {
    let troubles = [Short("db", Cpu, 4.0), Bug("ads", 3.4), Bug("search", 2.8), Bug("cart", 1.0)];
    let verdict = Scene::after_calm(&troubles).verdict();
    let order: Vec<&str> = verdict.services.iter().take(3).map(|s| s.service.as_str()).collect();
    assert_eq!(order, ["db", "ads", "search"]);
    let cart = verdict.services.iter().find(|s| s.service == "cart").unwrap();
    assert_ms(cart.counterfactual_ms, verdict.qos.as_ref().unwrap().observed_ms);
    assert_eq!(verdict.services.len(), 6);
    for pair in verdict.services.windows(2) {
        assert!(pair[0].counterfactual_ms <= pair[1].counterfactual_ms, "{pair:?}");
        assert!(pair[0].probability >= pair[1].probability - 1e-6, "{pair:?}");
    }
    for service in &verdict.services {
        let meets = service.counterfactual_ms <= TARGET_MS;
        assert_eq!(service.probability >= 0.5, meets, "{service:?}");
    }
}

#[test]
fn a_verdict_says_how_much_of_the_graph_was_seen_and_where_the_target_is_from() {
    let mut scene = Scene::new(history(&[(CALM, &[]), (1, &[Bug("db", 30.0)])]), alert(CALM));
    let mut last = (**scene.history.last().unwrap()).clone();
    last.completeness = 0.75;
    *scene.history.last_mut().unwrap() = last.into();
    let verdict = scene.verdict();
    assert_eq!(verdict.graph_completeness, 0.75);
    assert_eq!(verdict.notes["target"], "configuration");
}
