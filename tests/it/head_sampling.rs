//! Traces of which a sampler kept some count for those that it did not.

use std::time::Duration;

use proptest::prelude::*;
use prost::Message as _;
use sage::data::{EventTime, Frame, RpcWindow, Span};
use sage::lab::wire::encode_export;
use sage::receive::read_export;
use sage::window::{Config, Metrics, Windower};

use crate::support::{fixture, span};

const NAME_MAX: usize = 4096;
const ITEMS_MAX: u32 = 1 << 20;
const HOUR_NS: u64 = 3_600_000_000_000;

fn read(bytes: &[u8]) -> Vec<Span> {
    let (spans, invalid) = read_export(bytes, NAME_MAX, ITEMS_MAX).unwrap();
    assert_eq!(invalid, 0);
    spans
}

/// The intervals of these spans.
fn frames(spans: &[Span]) -> Vec<Frame> {
    let mut windower = Windower::new(&Config::default(), Metrics::default());
    windower.push_spans(spans, Duration::ZERO);
    // Every sender is an hour further.
    let later: Vec<Span> = spans
        .iter()
        .map(|s| Span {
            trace: s.trace ^ (1 << 127),
            start_ns: s.start_ns + HOUR_NS,
            end_ns: s.end_ns + HOUR_NS,
            ..s.clone()
        })
        .collect();
    windower.push_spans(&later, Duration::ZERO);
    windower.close(Duration::ZERO)
}

/// RPCs with this callee, of all intervals.
fn into<'a>(frames: &'a [Frame], callee: &str) -> Vec<&'a RpcWindow> {
    frames.iter().flat_map(|f| &f.rpcs).filter(|r| &*r.key.callee == callee).collect()
}

/// 400 requests to `front`, which calls `back`; OpenTelemetry's SDK for Python 1.45.2 kept about one in four
/// (`composable_traceid_ratio_based(0.25)`) and wrote the threshold into the first span of each trace only.
#[test]
fn what_the_sdk_for_python_kept_counts_four_times() {
    let spans = read(&fixture("otlp/python-sampled.pb"));
    let kept = spans.iter().filter(|s| s.parent == 0).count() as u64;
    assert_eq!((spans.len(), kept), (300, 100));
    assert_eq!(spans.iter().filter(|s| s.weight == Some(4.0)).count(), 100);
    let frames = frames(&spans);
    for callee in ["front", "back"] {
        let rpcs = into(&frames, callee);
        assert_eq!(rpcs.iter().map(|r| r.count).sum::<u64>(), 4 * kept, "{callee}");
        assert!(rpcs.iter().all(|r| r.seen_ratio == 0.25), "{callee}");
    }
}

fn one(trace: u128, latency_ms: u64, weight: Option<f32>) -> Span {
    let began = EventTime(1_785_578_410_000);
    Span { weight, ..span("web", trace + 1, 1, began, latency_ms) }
}

/// Nine in ten are fast. Of the fast ones a sampler by rule kept one in eight, of the slow ones all.
#[test]
fn percentiles_are_those_of_all_requests_and_not_of_the_traced_ones() {
    let all: Vec<Span> =
        (0..2000).map(|n| one(n, if n % 10 < 9 { 10 } else { 200 }, None)).collect();
    let fast = (0..225).map(|n| one(n, 10, Some(8.0)));
    let kept: Vec<Span> = fast.chain((1000..1200).map(|n| one(n, 200, Some(1.0)))).collect();
    let shown = |spans: &[Span]| {
        let bytes = encode_export(spans).encode_to_vec();
        let frames = frames(&read(&bytes));
        let rpc = into(&frames, "web")[0];
        (rpc.count, rpc.server)
    };
    assert_eq!(shown(&kept), shown(&all));
    let unsaid: Vec<Span> = kept.into_iter().map(|s| Span { weight: None, ..s }).collect();
    assert_ne!(shown(&unsaid).1, shown(&all).1, "without weights the slow ones are half of all");
}

proptest! {
    #[test]
    fn property_weights_arrive_as_they_were_sent(weights in prop::collection::vec(prop::option::of(1.0f32..1e6), 1..20)) {
        let sent: Vec<Span> = weights.iter().zip(0..).map(|(w, n)| one(n, 5, *w)).collect();
        let got = read(&encode_export(&sent).encode_to_vec());
        for (sent, got) in sent.iter().zip(&got) {
            prop_assert_eq!(sent.weight.is_some(), got.weight.is_some());
            let (sent, got) = (sent.weight.unwrap_or(1.0), got.weight.unwrap_or(1.0));
            prop_assert!((got / sent - 1.0).abs() < 1e-6, "{} came as {}", sent, got);
        }
    }
}
