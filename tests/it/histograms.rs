//! No spans at all: latencies come as histograms of a service graph, over remote write.

use sage::lab::sim::{Fault, FaultKind};
use sage::lab::wire::{Buckets, alert_json};
use serde_json::Value;

use crate::support::{INTERVAL, Sidecar, Traffic};

/// Everyday intervals the model learns from.
const EVERYDAY: usize = 150;

/// The collector's default buckets are all that is known of latencies.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_found_from_remote_write_alone() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |config| {
        config.train.min_intervals = EVERYDAY - 5;
        config.qos = vec![sage::data::QosTarget {
            service: "chain-1".into(),
            quantile: 0.99,
            target_ms: 150.0,
        }];
    })
    .await;
    let mut traffic = Traffic::new(sage.running.http, sage.running.otlp_grpc, 3)
        .await
        .without_spans(Buckets::Collector);
    traffic.everyday(EVERYDAY).await;
    let is_over = |m: &Value| (m["trainings"] != 0).then(|| m.clone());
    let model = sage.api.wait("training", "/api/v1/model", 600, &is_over).await.unwrap();
    assert_eq!(model["state"], "ready", "{model:#}");
    assert_eq!(sage.count("sage_receive_spans_total").await, 0.0);
    let graph = sage.api.get("/api/v1/graph").await.unwrap();
    assert!(graph.to_string().contains("chain-5"), "{graph:#}");

    for victim in [2, 3] {
        for _ in 0..4 {
            traffic.interval(1.0, &[]).await;
        }
        let began = traffic.now();
        for _ in 0..2 {
            let fault =
                Fault { service: victim, kind: FaultKind::Cpu, strength: 3.0, replica: None };
            traffic.interval(1.0, &[fault]).await;
        }
        for _ in 0..3 {
            traffic.interval(1.0, &[]).await;
        }
        let end = began.plus(INTERVAL * 2);
        let is_closed = |s: &Value| {
            let horizon: sage::data::EventTime =
                serde_json::from_value(s["horizon"].clone()).ok()?;
            (horizon >= end).then_some(Value::Null)
        };
        sage.api.wait("the intervals", "/api/v1/status", 60, &is_closed).await.unwrap();
        let mut alert = alert_json(&[("service", "chain-1")], began.plus(INTERVAL), Some(end));
        alert["fingerprint"] = format!("{:016x}", began.0).into();
        let ids = sage.api.alert(&[alert]).await.unwrap();
        let d = sage.diagnosis(&ids[0]).await;
        assert_eq!(d["outcome"], "root_cause", "{d:#}");
        assert_eq!(d["root_causes"][0]["service"], traffic.service(victim), "{d:#}");
    }
    sage.running.stop().await;
}
