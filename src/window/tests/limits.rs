//! Telemetry that would take too much: what it costs, and whom.

use std::time::Duration;

use super::scene::{BEGIN_MS, call, in_trace, later, pass, push, rpcs, span, windower};
use crate::data::{Half, Labels, Sample, Series, Span};
use crate::memory::Relief;
use crate::window::metrics::DropLabels;
use crate::window::{Config, Metrics, Windower};

#[test]
fn a_trace_that_never_ends_is_cut_and_costs_no_other_trace_anything() {
    let mut windower = windower();
    let endless: Vec<Span> =
        (1..=50_000).map(|id| span(Half::Server, "loop", "turn", (id, 0), (0, 5))).collect();
    push(&mut windower, &endless);
    push(&mut windower, &call(1, "get").map(|s| in_trace(2, s)));
    let frames = pass(&mut windower, 30_000);
    let expected = [
        "front (page) -> back get paired x1",
        "user -> front page server x1",
        "user -> loop turn server x10000",
    ];
    assert_eq!(rpcs(&frames[0]), expected);
}

#[test]
fn names_made_of_ids_overflow_their_own_service_only() {
    let mut windower = windower();
    for n in 0..1000_u64 {
        let mut spans = call(1, "auth").map(|s| in_trace(u128::from(n) + 10, s));
        spans[0].op = format!("/users/{n}").into();
        push(&mut windower, &spans);
        push(&mut windower, &call(1, "get").map(|s| in_trace(u128::from(n) + 5000, s)));
    }
    let frames = pass(&mut windower, 30_000);
    assert!(frames[0].rpcs.len() <= 2 * Config::default().operations_max + 10);
    let get = frames[0].rpcs.iter().find(|r| &*r.key.op == "get").unwrap();
    assert_eq!((&*get.key.callee, get.count), ("back", 1000));
}

#[test]
fn names_made_of_queries_are_bounded_in_bytes_and_cost_the_oldest_spans() {
    let (metrics, bytes_max) = (Metrics::default(), 1 << 20);
    let config = Config { spans_waiting_bytes_max: bytes_max, ..Config::default() };
    let mut windower = Windower::new(&config, metrics.clone());
    for n in 0..2000 {
        let op = format!("SELECT {n} {}", "x".repeat(4000));
        push(&mut windower, &[in_trace(n, span(Half::Client, "front", &op, (1, 0), (0, 10)))]);
    }
    let held = windower.names.held_bytes() + windower.traces.held_bytes();
    assert!(held <= bytes_max, "{held}");
    let waiting = windower.traces.waiting();
    assert!((20..250).contains(&waiting) && windower.traces.has(1999), "{waiting}");
    let dropped = metrics.dropped.get_or_create(&DropLabels { item: "span", reason: "evicted" });
    assert_eq!(dropped.get() as usize + waiting, 2000);
    // Intervals do not know for ever what is gone.
    assert!(windower.intervals.noted() <= 4096 + 4 * waiting);
}

#[test]
fn traces_that_are_gone_leave_nothing_behind_in_their_interval() {
    let config = Config { spans_waiting_max: 1000, ..Config::default() };
    let mut windower = Windower::new(&config, Metrics::default());
    for n in 0..100_u128 {
        let one =
            |i: u128| in_trace(n * 1000 + i, span(Half::Client, "front", "get", (1, 0), (0, 10)));
        push(&mut windower, &(0..1000).map(one).collect::<Vec<_>>());
    }
    assert!(windower.traces.waiting() <= 1000);
    assert!(windower.intervals.noted() <= 5000, "{}", windower.intervals.noted());
}

#[test]
fn whatever_is_given_back_the_next_interval_is_whole() {
    for relief in [Relief::Caches, Relief::Open, Relief::Closed] {
        let mut windower = windower();
        let labels = [("__name__", "process_resident_memory_bytes"), ("job", "front")];
        let labels: Labels = labels.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        let scrape = |windower: &mut Windower, ms: i64| {
            let sample = Sample { time_ms: BEGIN_MS as i64 + ms, value: 7.0 };
            let samples = vec![sample].into();
            let one = Series { labels: labels.clone(), samples, ..Series::default() };
            windower.push_series(&[one], Duration::ZERO);
        };
        push(&mut windower, &call(1, "get"));
        scrape(&mut windower, 10);
        for _ in 0..20 {
            windower.relieve(relief);
        }
        let is_gone = relief >= Relief::Open;
        assert_eq!(windower.traces.waiting(), if is_gone { 0 } else { 3 }, "{relief:?}");
        let late = call(1, "get").map(|s| in_trace(2, later(s)));
        let mut frames = push(&mut windower, &late);
        scrape(&mut windower, 30_010);
        frames.extend(pass(&mut windower, 60_000));
        let [before, after] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!(rpcs(before).len(), if is_gone { 0 } else { 2 }, "{relief:?}");
        assert_eq!((rpcs(after).len(), after.completeness), (2, 1.0), "{relief:?}");
        assert_eq!(after.services[0].features[0].percentiles, [7.0; 3], "{relief:?}");
    }
}
