//! Spans are what tracing libraries would send.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::support::{INTERVAL, settled, toy};
use crate::data::{Half, PeerKind, Span};
use crate::lab::sim::{SimConfig, Simulator, social_network};

/// All spans of all requests of ten seconds.
fn spans(config: SimConfig) -> Vec<Span> {
    let mut sim = Simulator::new(&social_network(), config, 4, 1_700_000_000_000).unwrap();
    let mut spans = sim.run(Duration::from_secs(10), 1.0, &[]).spans;
    spans.extend(sim.run(INTERVAL, 0.0, &[]).spans);
    spans
}

#[test]
fn spans_of_a_trace_form_a_tree_with_children_inside_their_parents() {
    let spans = spans(SimConfig::default());
    let by_id: BTreeMap<(u128, u64), &Span> = spans.iter().map(|s| ((s.trace, s.id), s)).collect();
    assert_eq!(by_id.len(), spans.len(), "ids are unique");
    let traces: BTreeSet<u128> = spans.iter().map(|s| s.trace).collect();
    assert_eq!(spans.iter().filter(|s| s.parent == 0).count(), traces.len());
    for child in spans.iter().filter(|s| s.parent != 0) {
        let parent = by_id[&(child.trace, child.parent)];
        let expected = match child.half {
            Half::Server => Half::Client,
            Half::Consumer => Half::Producer,
            _ => Half::Server,
        };
        let is_served_by_consumer = parent.half == Half::Consumer && expected == Half::Server;
        assert!(parent.half == expected || is_served_by_consumer, "{parent:?} above {child:?}");
        assert!(child.start_ns >= parent.start_ns && child.start_ns <= child.end_ns);
        assert!(child.end_ns <= parent.end_ns || child.half == Half::Consumer, "{child:?}");
        let same_service = child.service == parent.service;
        assert_eq!(same_service, matches!(child.half, Half::Client | Half::Producer));
    }
}

#[test]
fn every_instrumented_callee_has_both_halves_and_stores_only_the_callers() {
    let spans = spans(SimConfig::default());
    let called: BTreeSet<u64> = spans
        .iter()
        .filter(|s| matches!(s.half, Half::Server | Half::Consumer))
        .map(|s| s.parent)
        .collect();
    let mut stores = BTreeSet::new();
    for client in spans.iter().filter(|s| matches!(s.half, Half::Client | Half::Producer)) {
        assert_eq!(client.peer.is_none(), called.contains(&client.id), "{client:?}");
        if let Some(peer) = &client.peer {
            assert_eq!(peer.kind, PeerKind::Database);
            stores.insert(peer.name.to_string());
        }
    }
    assert!(stores.contains("post-storage-mongodb") && stores.contains("social-graph-redis"));
    assert!(!spans.iter().any(|s| stores.contains(&*s.service)));
}

#[test]
fn head_sampling_keeps_whole_traces_and_disturbs_nobody() {
    let all = spans(SimConfig::default());
    let sampled = spans(SimConfig { trace_ratio: 0.25, ..SimConfig::default() });
    let traces = |spans: &[Span]| spans.iter().map(|s| s.trace).collect::<BTreeSet<_>>();
    let kept = traces(&sampled);
    let share = kept.len() as f64 / traces(&all).len() as f64;
    assert!((0.2..0.3).contains(&share), "{share}");
    let same: Vec<Span> = all.into_iter().filter(|s| kept.contains(&s.trace)).collect();
    assert_eq!(same, sampled);
}

#[test]
fn what_is_behind_a_service_without_spans_is_traced_only_if_it_passes_the_trace_on() {
    let mut app = social_network();
    let silent = app.service("home-timeline-service").unwrap();
    app.services[silent].instrumented = false;
    let seen = |silent_services_forward| {
        let config = SimConfig { silent_services_forward, ..SimConfig::default() };
        let mut sim = Simulator::new(&app, config, 4, 1_700_000_000_000).unwrap();
        sim.run(Duration::from_secs(10), 1.0, &[]).spans
    };
    let (cut, whole) = (seen(false), seen(true));
    let of = |spans: &[Span], service: &str| {
        spans.iter().filter(|s| &*s.service == service).cloned().collect::<Vec<_>>()
    };
    for spans in [&cut, &whole] {
        assert!(of(spans, "home-timeline-service").is_empty());
        let peers: BTreeSet<_> = spans.iter().filter_map(|s| Some(s.peer.clone()?.name)).collect();
        assert!(peers.contains("home-timeline-service"), "its callers name it: {peers:?}");
    }
    // Posts are read on behalf of user timelines, too, which are traced in any case.
    let behind = |spans: &[Span]| of(spans, "post-storage-service").len();
    assert!(behind(&cut) > 0 && behind(&whole) > 2 * behind(&cut));
    let ids: BTreeSet<u64> = whole.iter().map(|s| s.id).collect();
    let lost = whole.iter().filter(|s| s.parent != 0 && !ids.contains(&s.parent));
    assert!(lost.count() > 0, "whose caller sends no span of its own");
}

#[test]
fn a_wrong_clock_moves_the_spans_of_its_host_and_nothing_else() {
    let right = spans(SimConfig::default());
    let wrong = spans(SimConfig { clock_skew_ms_max: 50.0, ..SimConfig::default() });
    let mut offsets: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for (r, w) in right.iter().zip(&wrong) {
        assert_eq!((r.id, r.duration_ns()), (w.id, w.duration_ns()));
        offsets.entry(&r.node).or_default().insert(w.start_ns as i64 - r.start_ns as i64);
    }
    assert!(offsets.values().all(|o| o.len() == 1), "{offsets:?}");
    let distinct: BTreeSet<i64> = offsets.values().flatten().copied().collect();
    assert_eq!((distinct.len(), offsets.len()), (5, 5));
    assert!(distinct.iter().all(|o| o.abs() <= 50_000_000));
}

#[test]
fn waiting_for_a_thread_shows_in_the_callees_half_only_where_instrumentation_starts_early() {
    let longest = |queue_in_span| {
        let seen = settled(&toy(queue_in_span), SimConfig::default()).run(INTERVAL, 1.0, &[]);
        let served = seen.spans.iter().filter(|s| s.half == Half::Server);
        let longest_ms = served.map(|s| s.duration_ns() as f64 / 1e6).fold(0.0, f64::max);
        (longest_ms, seen.truth.quantile_ms(1.0).unwrap())
    };
    let (early, truth) = longest(true);
    assert!((early - truth).abs() < 0.01 && early > 30.0, "{early} {truth}");
    let (late, truth) = longest(false);
    assert!(late < 12.0 && truth > 30.0, "{late} {truth}");
}
