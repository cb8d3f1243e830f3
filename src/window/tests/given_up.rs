//! Calls whose callee said nothing, or said it too late.

use super::scene::{call, everyday, in_trace, later, pass, push, rpcs, span, windower};
use crate::data::{Frame, Half, Span};

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
