//! Spans in, RPCs out: how halves find each other, whatever the order and whatever is missing.

use super::scene::{call, everyday, first, in_trace, pass, push, rpcs, span, to, windower};
use crate::data::{Half, PeerKind, Span};

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
fn slow_requests_are_counted_by_replica_where_a_service_has_several() {
    let mut windower = windower();
    for n in 0..40 {
        let [mut request, query, mut answer] = call(10 * n + 1, "get");
        request.replica = "front-0".into();
        answer.replica = format!("back-{}", n % 4).into();
        // One of four takes longer than the others.
        let query =
            if n % 4 == 3 { Span { start_ns: query.start_ns - 9_000_000, ..query } } else { query };
        push(&mut windower, &[request, query, answer].map(|s| in_trace(u128::from(n) + 1, s)));
    }
    let frames = pass(&mut windower, 30_000);
    let seen: Vec<_> = frames[0]
        .replicas
        .iter()
        .map(|r| {
            format!(
                "{} {} on {}: {} of {}",
                r.service, r.replica.name, r.replica.node, r.slow, r.count
            )
        })
        .collect();
    let like = |n: u64, slow: u64| format!("back back-{n} on n1: {slow} of 10");
    assert_eq!(seen, [like(3, 10), like(0, 0), like(1, 0), like(2, 0)]);
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

/// A tier that sends no spans, but passes the trace on: what it calls has a parent that nobody has seen.
#[test]
fn who_is_called_by_a_silent_tier_is_its_callee() {
    let spans = [
        span(Half::Server, "front", "page", (1, 0), (0, 100)),
        to(PeerKind::Database, "cache", span(Half::Client, "front", "read", (2, 1), (1, 5))),
        to(PeerKind::Service, "stock", span(Half::Client, "front", "count", (3, 1), (10, 90))),
        span(Half::Server, "shelf", "look", (4, 77), (20, 80)),
        span(Half::Client, "shelf", "ask", (5, 4), (30, 60)),
        span(Half::Server, "clerk", "ask", (6, 5), (35, 55)),
    ];
    let expected = [
        "front (page) -> cache read client x1",
        "front (page) -> stock count client x1",
        "shelf (look) -> clerk ask paired x1",
        "stock (count) -> shelf look server x1",
        "user -> front page server x1",
    ];
    assert_eq!(first(&spans), expected);
    // Nobody was asked all that time.
    let early = Span { start_ns: spans[3].start_ns - 15_000_000, ..spans[3].clone() };
    assert!(
        first(&[&spans[..3], &[early]].concat())
            .contains(&"user -> shelf look server x1".to_string())
    );
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

/// Its sender waits for the broker, whether or not anybody takes it.
#[test]
fn a_message_is_a_call_of_the_broker_besides() {
    let order = span(Half::Server, "front", "order", (1, 0), (0, 100));
    let sent = span(Half::Producer, "front", "send", (2, 1), (10, 20));
    let taken = span(Half::Consumer, "mailer", "process", (3, 2), (50, 80));
    let named = to(PeerKind::Service, "kafka", sent);
    let call = "front (order) -> kafka send client x1";
    let [message, request] =
        ["front (order) -> mailer process message x1", "user -> front order server x1"];
    assert_eq!(first(&[order.clone(), named.clone(), taken]), [call, message, request]);
    assert_eq!(first(&[order, named]), [call, request]);
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
