//! The robust baseline, by hand-computed numbers.

use super::town::Trouble::{Bug, Links, Short};
use super::town::frame;
use crate::data::Resource::Memory;
use crate::data::{
    EventTime, FeatureWindow, Frame, Interval, Percentiles, Role, RpcKey, RpcKind, RpcWindow,
    Scale, Scope, ServiceWindow, Signal,
};
use crate::diagnose::baseline::baseline;

/// A frame with one metric per service and one latency per RPC.
fn small(levels: &[(&str, f64)], rpcs: &[(&str, &str, f32, u64)]) -> Frame {
    let service = |(service, level): &(&str, f64)| ServiceWindow {
        service: (*service).into(),
        replicas: Vec::new(),
        features: vec![FeatureWindow {
            name: "m".into(),
            role: Role::Cpu,
            signal: Signal::Usage,
            scale: Scale::Log,
            scope: Scope::Service,
            percentiles: [*level; 3],
            by_replica: Vec::new(),
        }],
    };
    let rpc = |(caller, callee, ms, count): &(&str, &str, f32, u64)| {
        let caller_op = if *caller == "user" { "" } else { "op" };
        RpcWindow {
            key: RpcKey::new(caller, caller_op, callee, "op"),
            kind: RpcKind::Paired,
            count: *count,
            failed: 0,
            seen_ratio: 1.0,
            client: Percentiles::flat(*ms),
            server: Percentiles::flat(*ms),
            request: Percentiles::default(),
            response: Percentiles::default(),
        }
    };
    Frame {
        interval: Interval { start: EventTime(0), end: EventTime(1) },
        rpcs: rpcs.iter().map(rpc).collect(),
        services: levels.iter().map(service).collect(),
        completeness: 1.0,
        replicas: vec![],
    }
}

fn scores(now: &[Frame], normal: &[Frame]) -> Vec<(String, f64)> {
    let (now, normal): (Vec<&Frame>, Vec<&Frame>) = (now.iter().collect(), normal.iter().collect());
    baseline(&now, &normal).into_iter().map(|s| (s.service, s.score)).collect()
}

fn assert_scores(got: &[(String, f64)], want: &[(&str, f64)]) {
    assert_eq!(got.len(), want.len(), "{got:?}");
    for ((service, score), (expected, value)) in got.iter().zip(want) {
        assert_eq!(service, expected, "{got:?}");
        assert!((score - value).abs() < 1e-6, "{service}: {score} is not {value}");
    }
}

#[test]
fn a_score_is_the_distance_from_the_median_in_interquartile_ranges() {
    // Levels 1 to 9: median 5, quartiles 3 and 7.
    let past: Vec<Frame> = (1..=9).map(|n| small(&[("a", f64::from(n))], &[])).collect();
    assert_scores(&scores(&[small(&[("a", 25.0)], &[])], &past), &[("a", 5.0)]);
    assert_scores(&scores(&[small(&[("a", -15.0)], &[])], &past), &[("a", 5.0)]);
    assert_scores(&scores(&[small(&[("a", 5.0)], &[])], &past), &[("a", 0.0)]);
}

#[test]
fn a_metric_that_never_moved_counts_as_if_it_moved_by_two_percent() {
    let past = vec![small(&[("a", 50.0)], &[]); 4];
    assert_scores(&scores(&[small(&[("a", 53.0)], &[])], &past), &[("a", 3.0)]);
}

/// A counter that stood still at one service and is large at another.
#[test]
fn a_metric_that_stood_still_at_zero_is_measured_by_its_largest_anywhere() {
    let past = vec![small(&[("a", 0.0), ("b", 200.0)], &[]); 4];
    let now = small(&[("a", 6.0), ("b", 200.0)], &[]);
    assert_scores(&scores(&[now], &past), &[("a", 3.0), ("b", 0.0)]);
}

#[test]
fn of_several_violating_intervals_the_median_counts() {
    let past: Vec<Frame> = (1..=9).map(|n| small(&[("a", f64::from(n))], &[])).collect();
    let now: Vec<Frame> = [9.0, 13.0, 90.0].map(|l| small(&[("a", l)], &[])).to_vec();
    assert_scores(&scores(&now, &past), &[("a", 2.0)]);
}

#[test]
fn a_callers_latency_counts_without_what_its_callees_took() {
    let normal = small(&[], &[("a", "b", 10.0, 100), ("user", "a", 30.0, 100)]);
    // b takes 40 ms longer, and a with it. Of a's own 20 ms nothing changed. Neither ever varied:
    // two percent of b's usual 10 ms are as much as one percent of the largest usual one, 20 ms.
    let now = small(&[], &[("a", "b", 50.0, 100), ("user", "a", 70.0, 100)]);
    let past = vec![normal.clone(), normal.clone()];
    assert_scores(&scores(&[now], &past), &[("b", 40.0 / 0.2), ("a", 0.0)]);
    // Called for half of the requests, b takes half as much of a's time: a's own is 25 ms, and two
    // percent of the usual 20 ms the measure.
    let halved = small(&[], &[("a", "b", 10.0, 50), ("user", "a", 30.0, 100)]);
    assert_scores(&scores(&[halved], &past), &[("a", 5.0 / 0.4), ("b", 0.0)]);
}

#[test]
fn a_service_that_nothing_is_known_of_has_no_score() {
    let past = vec![small(&[("a", 1.0)], &[]); 4];
    let now = [small(&[("a", 1.0), ("new", 99.0)], &[])];
    assert_scores(&scores(&now, &past), &[("a", 0.0)]);
    assert_scores(&scores(&now, &[]), &[]);
}

#[test]
fn every_kind_of_trouble_puts_its_service_first() {
    let calm: Vec<Frame> = (0..30).map(|n| frame(n, &[])).collect();
    for trouble in [Short("db", Memory, 30.0), Bug("db", 30.0), Links("db", 30.0)] {
        let scores = scores(&[frame(30, &[trouble])], &calm);
        assert_eq!(scores[0].0, "db", "{trouble:?}: {scores:?}");
    }
}
