//! The whole chain on a simulated application: real bytes in, a root cause out.

use sage::lab::sim::{Fault, FaultKind};
use sage::lab::wire::alert_json;
use serde_json::Value;

use crate::support::{INTERVAL, Sidecar, Traffic, send};

/// Everyday intervals the model learns from.
const EVERYDAY: usize = 150;

fn fault(service: usize, kind: FaultKind) -> Fault {
    Fault { service, kind, strength: 3.0, replica: None }
}

async fn trained(sage: &Sidecar) -> Value {
    let is_over = |m: &Value| (m["trainings"] != 0).then(|| m.clone());
    let model = sage.api.wait("training", "/api/v1/model", 600, &is_over).await.unwrap();
    assert_eq!(model["state"], "ready", "{model:#}");
    model
}

/// Faults strike, the alert comes, and the answer is read from every place it is shown in.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_found_by_the_model_that_trained_itself() {
    let home = tempfile::tempdir().unwrap();
    let tune = |config: &mut sage::config::Config| {
        config.train.min_intervals = EVERYDAY - 5;
        config.qos = vec![sage::data::QosTarget {
            service: "chain-1".into(),
            quantile: 0.99,
            target_ms: 150.0,
        }];
    };
    let sage = Sidecar::start(home.path(), tune).await;
    let mut traffic = Traffic::new(sage.running.http, sage.running.otlp_grpc, 3).await;
    traffic.everyday(EVERYDAY).await;
    let model = trained(&sage).await;
    // In log space: a few intervals of seconds would outweigh all others. Some twenty are held back, and one
    // that a busy machine cuts short counts for much.
    assert!(model["r2_log"].as_f64().unwrap() > 0.6, "{model:#}");

    for (victim, kind, resource) in [(2, FaultKind::Cpu, "cpu"), (3, FaultKind::Network, "network")]
    {
        // Whatever went wrong before is over: it would belong to the same episode.
        for _ in 0..4 {
            traffic.interval(1.0, &[]).await;
        }
        let began = traffic.now();
        for _ in 0..2 {
            traffic.interval(1.0, &[fault(victim, kind)]).await;
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
        let cause = &d["root_causes"][0];
        assert_eq!(cause["service"], traffic.service(victim), "{d:#}");
        assert_eq!(cause["resource"], resource, "{d:#}");
        assert!(cause["counterfactual_ms"].as_f64() < d["qos"]["observed_ms"].as_f64(), "{d:#}");
        assert!(d["text"].as_str().unwrap().contains(traffic.service(victim)), "{d:#}");
        assert!(!d["path"].as_array().unwrap().is_empty(), "{d:#}");
        assert_eq!(d["model"]["id"], model["id"]);
        is_shown_everywhere(&sage, &ids[0]).await;
    }
    sage.running.stop().await;

    // The model, the frames and the diagnoses are there again after a restart.
    let sage = Sidecar::start(home.path(), tune).await;
    let again = sage.api.get("/api/v1/model").await.unwrap();
    assert_eq!((&again["state"], &again["id"]), (&Value::from("ready"), &model["id"]));
    let list = sage.api.get("/api/v1/diagnoses?service=chain-3").await.unwrap();
    assert_eq!(list[0]["root_causes"][0]["service"], "chain-3", "{list:#}");
    sage.running.stop().await;
}

async fn is_shown_everywhere(sage: &Sidecar, id: &str) {
    let get = async |path: &str| send(sage.running.http, "GET", path, &[], b"").await;
    let annotations = get("/api/v1/annotations").await;
    let annotations: Value = serde_json::from_slice(&annotations.body).unwrap();
    let mine = annotations.as_array().unwrap().iter().find(|a| a["tags"].to_string().contains(id));
    let mine = mine.expect("an annotation of the diagnosis");
    for column in ["time", "timeEnd", "title", "text", "tags"] {
        assert!(!mine[column].is_null(), "{mine:#}");
    }
    let graph = sage.api.get("/api/v1/graph").await.unwrap();
    assert!(graph.to_string().contains("chain-5"), "{graph:#}");
    let dot = get("/api/v1/cbn?format=dot").await.text();
    assert!(dot.starts_with("digraph") && dot.contains("chain-5"), "{dot}");
    let metrics = get("/metrics").await.text();
    assert!(metrics.contains("sage_diagnose_diagnoses_total{outcome=\"root_cause\"}"), "{metrics}");
    assert!(
        metrics.contains("sage_qos_target_seconds{service=\"chain-1\",quantile=\"0.99\"} 0.15")
    );
    assert!(metrics.contains("sage_qos_latency_seconds{service=\"chain-1\""), "{metrics}");
    assert_eq!(get("/-/ready").await.status, 200);
    assert_eq!(get("/grafana/").await.status, 200);
    assert!(get("/").await.text().contains("<title>Sage</title>"));
}

/// Somebody asks for a training before there is anything to learn from: that is said, the sidecar goes on,
/// and the next request is not refused because the first one is still "under way".
#[tokio::test(flavor = "multi_thread")]
async fn a_training_without_data_fails_and_leaves_the_next_one_free() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |_| {}).await;
    for trainings in 1..=2 {
        let answer = send(sage.running.http, "POST", "/api/v1/model/train", &[], b"").await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let is_over = |m: &Value| (m["trainings"] == trainings).then(|| m.clone());
        let model = sage.api.wait("its end", "/api/v1/model", 60, &is_over).await.unwrap();
        assert_eq!(model["state"], "failed", "{model:#}");
        assert!(model["error"].as_str().unwrap().contains("too few"), "{model:#}");
    }
    sage.running.stop().await;
}
