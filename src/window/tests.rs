//! Spans in, RPCs out: how halves find each other, whatever the order and whatever is missing.

use std::time::Duration;

use super::{Config, Metrics, Windower};
use crate::data::{Frame, Half, Peer, PeerKind, RpcKind, Series, Span};
use crate::memory::Relief;

/// An interval of 30 s begins here.
const BEGIN_MS: u64 = 1_700_000_010_000;

/// A span of trace 1 that lasts from `from_ms` to `to_ms` after the beginning.
fn span(half: Half, service: &str, op: &str, (id, parent): (u64, u64), times: (u64, u64)) -> Span {
    let ns = |ms: u64| (BEGIN_MS + ms) * 1_000_000;
    Span {
        trace: 1,
        id,
        parent,
        half,
        start_ns: ns(times.0),
        end_ns: ns(times.1),
        service: service.into(),
        replica: "".into(),
        // One host, one clock: whoever ends last says what time it is.
        node: "n1".into(),
        op: op.into(),
        peer: None,
        failed: false,
        weight: None,
    }
}

fn in_trace(trace: u128, mut span: Span) -> Span {
    span.trace = trace;
    span
}

fn to(kind: PeerKind, name: &str, mut span: Span) -> Span {
    span.peer = Some(Peer { name: name.into(), kind });
    span
}

/// The request and what it leads to: front calls back with `op`.
fn call(id: u64, op: &str) -> [Span; 3] {
    [
        span(Half::Server, "front", "page", (id, 0), (0, 100)),
        span(Half::Client, "front", op, (id + 1, id), (10, 90)),
        span(Half::Server, "back", op, (id + 2, id + 1), (20, 80)),
    ]
}

fn windower() -> Windower {
    Windower::new(&Config::default(), Metrics::default())
}

/// Takes spans, and whatever ends with them.
fn push(windower: &mut Windower, spans: &[Span]) -> Vec<Frame> {
    windower.push_spans(spans, Duration::ZERO);
    windower.close(Duration::ZERO)
}

/// Lets event time pass, so that intervals that end within `ms` after the beginning close.
fn pass(windower: &mut Windower, ms: u64) -> Vec<Frame> {
    let clock = in_trace(999, span(Half::Server, "clock", "tick", (ms, 0), (ms, ms + 10_001)));
    push(windower, &[clock])
}

/// `caller (caller_op) -> callee op kind xCOUNT`, without the clock.
fn rpcs(frame: &Frame) -> Vec<String> {
    let shown = frame.rpcs.iter().filter(|r| &*r.key.callee != "clock");
    shown
        .map(|r| {
            let kind = match r.kind {
                RpcKind::Paired => "paired",
                RpcKind::ServerOnly => "server",
                RpcKind::ClientOnly => "client",
                RpcKind::Messaging => "message",
            };
            format!("{} {kind} x{}", r.key, r.count)
        })
        .collect()
}

/// The RPCs of the first interval, when these spans are all.
fn first(spans: &[Span]) -> Vec<String> {
    let mut windower = windower();
    assert!(push(&mut windower, spans).is_empty());
    let frames = pass(&mut windower, 30_000);
    assert_eq!(frames.len(), 1);
    rpcs(&frames[0])
}

#[test]
fn two_halves_are_one_rpc_in_any_order_and_repeats_count_once() {
    let spans = call(1, "get");
    let expected = ["front (page) -> back get paired x1", "user -> front page server x1"];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let shuffled = order.map(|i| spans[i].clone());
        assert_eq!(first(&shuffled), expected, "{order:?}");
        assert_eq!(first(&[shuffled.clone(), shuffled].concat()), expected);
    }
}

#[test]
fn latencies_are_those_of_each_side_and_the_delays_between() {
    let mut windower = windower();
    push(&mut windower, &call(1, "get"));
    let frames = pass(&mut windower, 30_000);
    let rpc = frames[0].rpcs.iter().find(|r| &*r.key.callee == "back").unwrap();
    for (what, got, want) in [
        ("client", rpc.client, 80.0),
        ("server", rpc.server, 60.0),
        ("request", rpc.request, 10.0),
        ("response", rpc.response, 10.0),
    ] {
        assert!((got.0[4] / want - 1.0).abs() < 0.01, "{what}: {got:?}");
    }
}

#[test]
fn work_inside_a_service_is_a_bridge_between_what_it_serves_and_what_it_calls() {
    let spans = [
        span(Half::Server, "front", "page", (1, 0), (0, 100)),
        span(Half::Internal, "front", "render", (2, 1), (5, 95)),
        span(Half::Internal, "front", "load", (3, 2), (8, 92)),
        span(Half::Client, "front", "get", (4, 3), (10, 90)),
        span(Half::Server, "back", "get", (5, 4), (20, 80)),
    ];
    let expected = ["front (page) -> back get paired x1", "user -> front page server x1"];
    assert_eq!(first(&spans), expected);
}

#[test]
fn databases_and_foreign_services_are_virtual_nodes() {
    let [request, query, _] = call(1, "select");
    let database = to(PeerKind::Database, "orders", query.clone());
    let expected = ["front (page) -> orders select client x1", "user -> front page server x1"];
    assert_eq!(first(&[request.clone(), database]), expected);
    let foreign = to(PeerKind::Service, "bank", query.clone());
    let expected = ["front (page) -> bank select client x1", "user -> front page server x1"];
    assert_eq!(first(&[request.clone(), foreign]), expected);
    // Nobody knows whom it called.
    assert_eq!(first(&[request, query]), ["user -> front page server x1"]);
}

#[test]
fn a_peer_that_sends_spans_is_no_virtual_node_when_one_of_its_halves_is_lost() {
    let lost = to(PeerKind::Service, "back", call(11, "get")[1].clone());
    let other = call(1, "get").map(|s| in_trace(2, s));
    let spans = [&other[..], &[lost][..]].concat();
    assert_eq!(first(&spans)[0], "front (page) -> back get paired x1");
}

#[test]
fn a_message_is_an_edge_that_nobody_waits_for() {
    let spans = [
        span(Half::Server, "front", "order", (1, 0), (0, 30)),
        span(Half::Producer, "front", "send", (2, 1), (10, 20)),
        span(Half::Consumer, "mailer", "process", (3, 2), (500, 900)),
    ];
    let expected = ["front (order) -> mailer process message x1", "user -> front order server x1"];
    assert_eq!(first(&spans), expected);
}

#[test]
fn zipkin_halves_that_share_an_id_are_a_pair() {
    let mut spans = call(1, "get");
    (spans[2].id, spans[2].parent) = (spans[1].id, spans[0].id);
    assert_eq!(first(&spans)[0], "front (page) -> back get paired x1");
}

#[test]
fn a_call_belongs_to_the_interval_in_which_its_callers_half_ended() {
    let mut windower = windower();
    let mut spans = call(1, "get");
    for s in &mut spans {
        s.end_ns += 30_000 * 1_000_000;
    }
    push(&mut windower, &spans);
    push(&mut windower, &call(11, "put").map(|s| in_trace(2, s)));
    let frames = pass(&mut windower, 60_000);
    assert_eq!(rpcs(&frames[0])[0], "front (page) -> back put paired x1");
    assert_eq!(rpcs(&frames[1])[0], "front (page) -> back get paired x1");
}

/// The caller gave up at 29 s, the callee went on: this is the violation itself.
#[test]
fn a_callee_that_outlives_its_caller_counts_when_it_ends() {
    let mut windower = windower();
    let spans = [
        span(Half::Server, "front", "page", (1, 0), (0, 29_100)),
        span(Half::Client, "front", "get", (2, 1), (10, 29_000)),
        span(Half::Server, "back", "get", (3, 2), (20, 45_000)),
    ];
    push(&mut windower, &spans[..2]);
    let mut frames = pass(&mut windower, 30_000);
    push(&mut windower, &spans[2..]);
    frames.extend(pass(&mut windower, 60_000));
    assert_eq!(rpcs(&frames[0]), ["user -> front page server x1"]);
    assert_eq!(rpcs(&frames[1]), ["front (page) -> back get paired x1"]);
    assert!(frames[1].rpcs.iter().any(|r| r.server.0[4] > 44_000.0));
}

/// The span an interval later.
fn later(mut span: Span) -> Span {
    (span.start_ns, span.end_ns) = (span.start_ns + 30_000_000_000, span.end_ns + 30_000_000_000);
    span
}

/// The second interval, when there were everyday calls in the first and these spans in the second.
fn second(spans: &[Span]) -> Frame {
    let mut windower = windower();
    everyday(&mut windower);
    pass(&mut windower, 30_000);
    let spans: Vec<Span> = spans.iter().cloned().map(later).collect();
    push(&mut windower, &spans);
    pass(&mut windower, 60_000).remove(0)
}

/// What everyday calls taught: whoever gives up on such a call waited for `back`.
#[test]
fn a_call_that_was_given_up_counts_though_its_callee_said_nothing() {
    let mut given_up = call(1, "get")[1].clone();
    (given_up.end_ns, given_up.failed) = (given_up.end_ns + 2_000_000_000, true);
    let served = call(1, "get")[0].clone();
    // Of the second, nobody says which of its own requests the caller served.
    let frame = second(&[given_up.clone(), served, in_trace(2, given_up)]);
    let expected = ["front (page) -> back get paired x2", "user -> front page server x1"];
    assert_eq!(rpcs(&frame), expected);
    let rpc = &frame.rpcs.iter().find(|r| &*r.key.callee == "back").unwrap();
    assert_eq!(rpc.failed, 2);
    assert!(rpc.client.0[0] > 2000.0 && rpc.server.0[0] > 2000.0, "{rpc:?}");
    assert!(frame.completeness < 1.0);
}

#[test]
fn a_callees_lost_half_leaves_its_latency_as_the_others_say() {
    let spans = [&call(1, "get")[..2], &call(1, "get").map(|s| in_trace(2, s))[..]].concat();
    let frame = second(&spans);
    let rpc = &frame.rpcs.iter().find(|r| &*r.key.callee == "back").unwrap();
    assert_eq!(rpc.count, 2);
    let [client, server] = [rpc.client, rpc.server].map(|p| p.0[4]);
    assert!((client / 80.0 - 1.0).abs() < 0.01 && (server / 60.0 - 1.0).abs() < 0.01, "{rpc:?}");
}

#[test]
fn a_call_of_a_name_that_many_answer_is_nobodys() {
    let mut windower = windower();
    for n in 0..40 {
        let mut spans = call(1, "get").map(|s| in_trace(100 + n, s));
        spans[2].service = format!("back-{}", n % 2).into();
        push(&mut windower, &spans);
    }
    pass(&mut windower, 30_000);
    push(&mut windower, &call(1, "get").map(later)[..2]);
    let frames = pass(&mut windower, 60_000);
    assert_eq!(rpcs(&frames[0]), ["user -> front page server x1"]);
    assert!(frames[0].completeness < 1.0);
}

/// The callee keeps half of the traces: the pairs stand for the others, which must not count again.
#[test]
fn a_callee_that_keeps_fewer_traces_loses_no_halves() {
    let mut windower = windower();
    for n in 0..40 {
        let mut spans = call(1, "get").map(|s| in_trace(100 + n, s));
        for (span, weight) in spans.iter_mut().zip([1.0, 1.0, 2.0]) {
            span.weight = Some(weight);
        }
        push(&mut windower, if n % 2 == 0 { &spans } else { &spans[..2] });
        let spans = spans.map(|s| later(in_trace(200 + n, s)));
        push(&mut windower, if n % 2 == 0 { &spans } else { &spans[..2] });
    }
    let mut frames = pass(&mut windower, 30_000);
    frames.extend(pass(&mut windower, 60_000));
    for frame in frames {
        assert_eq!(rpcs(&frame)[0], "front (page) -> back get paired x40");
    }
}

/// The caller's half was known for what it is, and must not count again.
#[test]
fn a_callees_late_half_adds_its_own_latency_only() {
    let mut windower = windower();
    everyday(&mut windower);
    pass(&mut windower, 30_000);
    let spans = [
        span(Half::Client, "front", "get", (2, 1), (28_000, 29_000)),
        span(Half::Server, "back", "get", (3, 2), (32_000, 45_000)),
    ];
    let [given_up, late] = spans.map(later);
    push(&mut windower, &[given_up]);
    let frames = pass(&mut windower, 60_000);
    assert_eq!(rpcs(&frames[0]), ["front (page) -> back get paired x1"]);
    let usual = call(1, "get").map(|s| in_trace(3, later(later(s))));
    push(&mut windower, &[&[late][..], &usual[..]].concat());
    let frames = pass(&mut windower, 90_000);
    assert_eq!(rpcs(&frames[0])[0], "front (page) -> back get paired x1");
    let rpc = &frames[0].rpcs.iter().find(|r| &*r.key.callee == "back").unwrap();
    assert!(rpc.server.0[4] > 12_800.0 && rpc.client.0[4] < 81.0, "{rpc:?}");
    // It waited as long as its caller did before the callee took it up.
    assert!((rpc.request.0[4] / 1000.0 - 1.0).abs() < 0.01, "{rpc:?}");
}

#[test]
fn a_consumer_that_ends_later_than_its_producer_is_still_its_consumer() {
    let mut windower = windower();
    let spans = [
        span(Half::Producer, "front", "send", (1, 0), (20_000, 29_000)),
        span(Half::Consumer, "mailer", "process", (2, 1), (29_500, 45_000)),
    ];
    push(&mut windower, &spans[..1]);
    let mut frames = pass(&mut windower, 30_000);
    push(&mut windower, &spans[1..]);
    frames.extend(pass(&mut windower, 60_000));
    assert_eq!(rpcs(&frames[1]), ["front -> mailer process message x1"]);
}

/// Everyday calls of one operation, each in a trace of its own.
fn everyday(windower: &mut Windower) {
    for n in 0..20 {
        push(windower, &call(1, "get").map(|s| in_trace(100 + n, s)));
    }
}

/// A half whose caller is late must not make an entry of a service in the middle.
#[test]
fn a_half_of_an_operation_with_callers_waits_for_its_own() {
    let mut windower = windower();
    everyday(&mut windower);
    assert_eq!(pass(&mut windower, 30_000).len(), 1);
    let late = [
        span(Half::Client, "front", "get", (2, 1), (59_000, 64_000)),
        span(Half::Server, "back", "get", (3, 2), (59_100, 59_900)),
    ];
    push(&mut windower, &late[1..]);
    let frames = pass(&mut windower, 61_000);
    assert_eq!(rpcs(&frames[0]), [""; 0]);
    assert!(frames[0].completeness < 1.0, "it is missed");
    push(&mut windower, &late[..1]);
    let frames = pass(&mut windower, 91_000);
    // Whoever front served has not come; what it usually does when it calls this has.
    assert_eq!(rpcs(&frames[0]), ["front (page) -> back get paired x1"]);
    assert_eq!(frames[0].completeness, 1.0, "and not missed twice");
}

/// Users may come through a proxy that passes the context on and sends no spans, and the same operation
/// may be called from inside as well.
#[test]
fn an_operation_that_many_call_from_outside_stays_an_entry() {
    let mut windower = windower();
    everyday(&mut windower);
    for n in 0..10 {
        let through_proxy = span(Half::Server, "back", "get", (1, 77), (200 + n, 300 + n));
        push(&mut windower, &[in_trace(500 + u128::from(n), through_proxy)]);
    }
    let frames = pass(&mut windower, 30_000);
    let from_outside = frames[0].rpcs.iter().find(|r| r.key.is_entry() && &*r.key.callee == "back");
    // The first of them may still be taken for strays.
    assert!(from_outside.expect("an entry").count >= 8, "{:?}", rpcs(&frames[0]));
}

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
    let dropped = metrics
        .dropped
        .get_or_create(&super::metrics::DropLabels { item: "span", reason: "evicted" });
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
        let labels: crate::data::Labels =
            labels.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        let scrape = |windower: &mut Windower, ms: i64| {
            let sample = crate::data::Sample { time_ms: BEGIN_MS as i64 + ms, value: 7.0 };
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
        let late = |mut s: Span| {
            (s.start_ns, s.end_ns) = (s.start_ns + 30_000_000_000, s.end_ns + 30_000_000_000);
            in_trace(2, s)
        };
        let mut frames = push(&mut windower, &call(1, "get").map(late));
        scrape(&mut windower, 30_010);
        frames.extend(pass(&mut windower, 60_000));
        let [before, after] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!(rpcs(before).len(), if is_gone { 0 } else { 2 }, "{relief:?}");
        assert_eq!((rpcs(after).len(), after.completeness), (2, 1.0), "{relief:?}");
        assert_eq!(after.services[0].features[0].percentiles, [7.0; 3], "{relief:?}");
    }
}
