//! A request and what it leads to, as spans, and windows that are shown them.

use std::time::Duration;

use crate::data::{Frame, Half, Peer, PeerKind, RpcKind, Span};
use crate::window::{Config, Metrics, Windower};

/// An interval of 30 s begins here.
pub(super) const BEGIN_MS: u64 = 1_700_000_010_000;

/// A span of trace 1 that lasts from `from_ms` to `to_ms` after the beginning.
pub(super) fn span(
    half: Half,
    service: &str,
    op: &str,
    (id, parent): (u64, u64),
    times: (u64, u64),
) -> Span {
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

pub(super) fn in_trace(trace: u128, mut span: Span) -> Span {
    span.trace = trace;
    span
}

pub(super) fn to(kind: PeerKind, name: &str, mut span: Span) -> Span {
    span.peer = Some(Peer { name: name.into(), kind });
    span
}

/// The request and what it leads to: front calls back with `op`.
pub(super) fn call(id: u64, op: &str) -> [Span; 3] {
    [
        span(Half::Server, "front", "page", (id, 0), (0, 100)),
        span(Half::Client, "front", op, (id + 1, id), (10, 90)),
        span(Half::Server, "back", op, (id + 2, id + 1), (20, 80)),
    ]
}

pub(super) fn windower() -> Windower {
    Windower::new(&Config::default(), Metrics::default())
}

/// Takes spans, and whatever ends with them.
pub(super) fn push(windower: &mut Windower, spans: &[Span]) -> Vec<Frame> {
    windower.push_spans(spans, Duration::ZERO);
    windower.close(Duration::ZERO)
}

/// Lets event time pass, so that intervals that end within `ms` after the beginning close.
pub(super) fn pass(windower: &mut Windower, ms: u64) -> Vec<Frame> {
    let clock = in_trace(999, span(Half::Server, "clock", "tick", (ms, 0), (ms, ms + 10_001)));
    push(windower, &[clock])
}

/// `caller (caller_op) -> callee op kind xCOUNT`, without the clock.
pub(super) fn rpcs(frame: &Frame) -> Vec<String> {
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
pub(super) fn first(spans: &[Span]) -> Vec<String> {
    let mut windower = windower();
    assert!(push(&mut windower, spans).is_empty());
    let frames = pass(&mut windower, 30_000);
    assert_eq!(frames.len(), 1);
    rpcs(&frames[0])
}

/// Everyday calls of one operation, each in a trace of its own.
pub(super) fn everyday(windower: &mut Windower) {
    for n in 0..20 {
        push(windower, &call(1, "get").map(|s| in_trace(100 + n, s)));
    }
}

/// The span an interval later.
pub(super) fn later(mut span: Span) -> Span {
    (span.start_ns, span.end_ns) = (span.start_ns + 30_000_000_000, span.end_ns + 30_000_000_000);
    span
}
