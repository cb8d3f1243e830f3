//! Spans to send: whole traces with as many different RPCs as asked for, or halves without the other.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use prost::Message as _;

use super::bodies::{Bodies, TIME_MARK, TRACE_MARK};
use crate::data::{Half, Name, Span};
use crate::lab::wire::encode_export;

/// From the start of a trace to the end of its last span.
pub(super) const TRACE_NS: u64 = 40_000_000;
/// Calls of one trace, one after another, from its entry.
pub(super) const TRACE_CALLS: usize = 4;
/// Spans of a trace.
pub(super) const TRACE_SPANS: usize = 1 + 2 * TRACE_CALLS;
/// Operations of one service.
const OPERATIONS: usize = 50;
/// Operations of the entry.
const ROUTES: usize = 20;
/// What a call takes of its trace.
const CALL_NS: u64 = TRACE_NS / TRACE_CALLS as u64;

/// What instrumentation says about a request beside what Sage wants to know.
const ATTRIBUTES: [(&str, &str); 8] = [
    ("http.request.method", "GET"),
    ("http.route", "/api/v1/orders/{id}"),
    ("http.response.status_code", "200"),
    ("network.protocol.version", "1.1"),
    ("url.scheme", "http"),
    ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)"),
    ("thread.name", "http-worker-17"),
    ("code.function.name", "handle_request"),
];

/// What the spans are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whole traces: a request to `gateway`, which calls four operations behind it.
    Traces,
    /// Halves whose other half never comes, each of a trace of its own.
    Halves,
}

/// Requests of about `per_request` spans that together show `rpcs` different RPCs.
pub fn span_bodies(shape: Shape, rpcs: usize, per_request: usize, seed: u64) -> Bodies {
    let spans: Vec<Span> = match shape {
        Shape::Traces => (0..rpcs.div_ceil(TRACE_CALLS)).flat_map(|t| trace(t, rpcs)).collect(),
        Shape::Halves => (0..rpcs).map(half).collect(),
    };
    let unit = if shape == Shape::Traces { TRACE_SPANS } else { 1 };
    let wanted = (per_request / unit).max(1) * unit;
    // Few RPCs still fill a request, with many traces of them.
    let copies = wanted.div_ceil(spans.len()).max(1);
    let all: Vec<Span> = (0..copies)
        .flat_map(|copy| {
            let other = (copy as u128) << 32;
            spans.iter().map(move |s| Span { trace: s.trace | other, ..s.clone() })
        })
        .collect();
    Bodies::new(all.chunks(wanted).map(|c| (encoded(c), c.len() as u64)).collect(), seed)
}

fn encoded(spans: &[Span]) -> Vec<u8> {
    let attribute = |(key, text): &(&str, &str)| KeyValue {
        key: (*key).into(),
        value: Some(AnyValue { value: Some(Value::StringValue((*text).into())) }),
        ..Default::default()
    };
    let attributes: Vec<KeyValue> = ATTRIBUTES.iter().map(attribute).collect();
    let mut request = encode_export(spans);
    let scopes = request.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans);
    scopes.flat_map(|s| &mut s.spans).for_each(|s| s.attributes.extend(attributes.clone()));
    request.encode_to_vec()
}

fn marked(trace: usize) -> u128 {
    u128::from(u64::from_be_bytes(TRACE_MARK)) << 64 | (trace as u128 + 1)
}

fn time(offset_ns: u64) -> u64 {
    TIME_MARK << 40 | offset_ns
}

fn span(trace: usize, id: u64, parent: u64, half: Half, (start, end): (u64, u64)) -> Span {
    Span {
        trace: marked(trace),
        id,
        parent,
        half,
        start_ns: time(start),
        end_ns: time(end),
        service: "gateway".into(),
        replica: "gateway-0".into(),
        node: "node-0".into(),
        op: "".into(),
        peer: None,
        failed: false,
        weight: None,
    }
}

/// A request to the gateway and its calls, of the RPCs from `t * TRACE_CALLS` on.
fn trace(t: usize, rpcs: usize) -> Vec<Span> {
    let route: Name = format!("route-{}", t % ROUTES).into();
    let mut spans = vec![Span { op: route, ..span(t, 1, 0, Half::Server, (0, TRACE_NS)) }];
    for call in 0..TRACE_CALLS {
        let rpc = (t * TRACE_CALLS + call) % rpcs;
        let op: Name = format!("op-{}", rpc % OPERATIONS).into();
        let service: Name = format!("svc-{}", rpc / OPERATIONS).into();
        let (client, server) = (2 + 2 * call as u64, 3 + 2 * call as u64);
        let start = call as u64 * CALL_NS;
        // Every RPC has a latency of its own, so that one that is mixed up is seen.
        let took = CALL_NS / 4 + (rpc as u64 * 7919) % (CALL_NS / 2);
        let sent = span(t, client, 1, Half::Client, (start, start + took));
        let delay = took / 10;
        let served = span(t, server, client, Half::Server, (start + delay, start + took - delay));
        spans.push(Span { op: op.clone(), ..sent });
        spans.push(Span {
            op,
            replica: format!("{service}-0").into(),
            node: format!("node-{}", rpc / OPERATIONS % 20).into(),
            service,
            ..served
        });
    }
    spans
}

/// By turns a call that nobody answers and an answer that nobody asked for.
fn half(rpc: usize) -> Span {
    let (half, parent) = if rpc.is_multiple_of(2) { (Half::Client, 0) } else { (Half::Server, 7) };
    let service: Name = format!("storm-{}", rpc / 100).into();
    Span {
        op: format!("op-{}", rpc % 100).into(),
        replica: format!("{service}-0").into(),
        service,
        ..span(rpc, 9, parent, half, (0, TRACE_NS / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::read_export;

    #[test]
    fn bodies_are_traces_of_now_and_never_the_same_twice() {
        let bodies = span_bodies(Shape::Traces, 100, 450, 7);
        assert_eq!(bodies.cycle_items(), 450);
        let now = 1_785_578_400_000_000_000;
        let read = |n| {
            let body = bodies.body(n, 5, now);
            read_export(&body.bytes, 4096, 1 << 20).unwrap()
        };
        let (first, second) = (read(0), read(1));
        assert_eq!((first.0.len(), first.1), (450, 0));
        assert!(first.0.iter().all(|s| s.start_ns >= now - TRACE_NS && s.end_ns <= now));
        let traces: std::collections::BTreeSet<u128> =
            first.0.iter().chain(&second.0).map(|s| s.trace).collect();
        assert_eq!(traces.len(), 100);
        let rpcs: std::collections::BTreeSet<_> =
            first.0.iter().filter(|s| s.half == Half::Client).map(|s| s.start_ns).collect();
        assert_eq!(rpcs.len(), TRACE_CALLS, "calls of a trace follow one another");
    }

    #[test]
    fn halves_have_nobody_to_pair_with() {
        let bodies = span_bodies(Shape::Halves, 1000, 300, 7);
        let spans: Vec<Span> = (0..4)
            .flat_map(|n| {
                read_export(&bodies.body(n, 5, 2 * TRACE_NS).bytes, 4096, 1 << 20).unwrap().0
            })
            .collect();
        let traces: std::collections::BTreeSet<u128> = spans.iter().map(|s| s.trace).collect();
        let rpcs: std::collections::BTreeSet<_> =
            spans.iter().map(|s| (s.service.clone(), s.op.clone())).collect();
        assert_eq!((spans.len(), traces.len(), rpcs.len()), (1000, 1000, 1000));
    }
}
