//! Histograms of service graphs say what the spans said that they were made of.

use std::time::Duration;

use crate::data::Frame;
use crate::lab::Feed;
use crate::lab::sim::{SimConfig, Simulator, chain};
use crate::lab::wire::{Buckets, ServiceGraph};

const INTERVAL: Duration = Duration::from_secs(30);

/// The same requests, once as spans and once as histograms.
fn watched(buckets: Option<Buckets>) -> Vec<std::sync::Arc<Frame>> {
    let config = SimConfig::default();
    let mut simulator = Simulator::new(&chain(), config.clone(), 7, 1_700_000_010_000).unwrap();
    let mut feed = Feed::new(INTERVAL);
    if let Some(buckets) = buckets {
        feed = feed.without_spans(ServiceGraph::new(buckets, config.scrape_every));
    }
    (0..5).flat_map(|_| feed.push(simulator.run(INTERVAL, 1.0, &[]))).collect()
}

/// The third interval: service by service, requests and 99th percentile.
fn edges(frames: &[std::sync::Arc<Frame>]) -> Vec<(String, String, u64, f64, f64)> {
    let of = |r: &crate::data::RpcWindow| {
        let p99 = |p: crate::data::Percentiles| f64::from(p.0[4]);
        let (caller, callee) = (r.key.caller.to_string(), r.key.callee.to_string());
        (caller, callee, r.count, p99(r.client), p99(r.server))
    };
    frames[2].rpcs.iter().map(of).collect()
}

#[test]
fn the_edges_are_those_of_the_spans_and_the_latencies_are_as_fine_as_the_buckets() {
    let spans = edges(&watched(None));
    assert_eq!(spans.len(), 5);
    for (buckets, tolerance) in [(Buckets::Native, 0.2), (Buckets::Istio, 1.5)] {
        let histograms = edges(&watched(Some(buckets)));
        assert_eq!(histograms.len(), spans.len(), "{histograms:?}");
        for (h, s) in histograms.iter().zip(&spans) {
            assert_eq!((&h.0, &h.1), (&s.0, &s.1));
            // Arrivals differ from interval to interval, and scrapes happen within intervals.
            assert!((h.2 as f64 / s.2 as f64 - 1.0).abs() < 0.1, "{buckets:?}: {h:?} {s:?}");
            for (got, want) in [(h.3, s.3), (h.4, s.4)] {
                let ratio = (got / want).ln().abs();
                assert!(ratio < f64::ln(1.0 + tolerance), "{buckets:?}: {h:?} {s:?}");
            }
        }
    }
}
