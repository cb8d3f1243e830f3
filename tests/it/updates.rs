//! An application that is updated while it runs: real bytes in, a model that follows.

use sage::data::EventTime;
use sage::lab::sim::{AppSpec, CallSpec, Fault, FaultKind, SimConfig, Simulator, Step, chain};
use sage::lab::wire::alert_json;
use serde_json::Value;

use crate::support::{INTERVAL, Sidecar, Traffic};

/// Everyday intervals the first model learns from.
const EVERYDAY: usize = 60;
/// Intervals within which a new service must have been noticed and learnt.
const NOTICED: usize = 8;
/// Intervals after which the model is taken to have converged, and some to spare.
const CONVERGED: usize = 26;

/// The chain, the fourth service of which also calls a sixth.
fn longer() -> AppSpec {
    let mut spec = chain();
    let tier5 = spec.service("chain-5").unwrap();
    let mut sixth = spec.services[tier5].clone();
    sixth.name = "chain-6".into();
    spec.services.push(sixth);
    let call = CallSpec { service: spec.services.len() - 1, op: 0, probability: 1.0, times: 1 };
    let tier4 = spec.service("chain-4").unwrap();
    spec.services[tier4].ops[0].steps.push(Step::Call(call));
    spec
}

fn tune(config: &mut sage::config::Config) {
    config.train.min_intervals = EVERYDAY;
    config.train.steps = [80, 30];
    config.qos =
        vec![sage::data::QosTarget { service: "chain-1".into(), quantile: 0.99, target_ms: 150.0 }];
}

/// One calm interval, and what is said once it is closed and no training is under way.
async fn goes_on(sage: &Sidecar, traffic: &mut Traffic) -> (Value, Value) {
    let before = sage.api.get("/api/v1/status").await.unwrap();
    traffic.interval(1.0, &[]).await;
    let is_closed = |s: &Value| (s["horizon"] != before["horizon"]).then_some(Value::Null);
    sage.api.wait("an interval", "/api/v1/status", 60, &is_closed).await.unwrap();
    // Whether a change is found, and a training begun, shows a moment later.
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    let is_idle = |m: &Value| (m["state"] != "training").then(|| m.clone());
    let model = sage.api.wait("a training", "/api/v1/model", 60, &is_idle).await.unwrap();
    (sage.api.get("/api/v1/status").await.unwrap()["sampling"].clone(), model)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_service_is_noticed_learnt_and_followed_across_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), tune).await;
    let mut traffic = Traffic::new(sage.running.http, sage.running.otlp_grpc, 5).await;
    traffic.everyday(EVERYDAY + 2).await;
    let is_over = |m: &Value| (m["trainings"] != 0).then(|| m.clone());
    let first = sage.api.wait("training", "/api/v1/model", 600, &is_over).await.unwrap();
    assert_eq!(first["last_training"]["kind"], "full", "{first:#}");
    let (advice, _) = goes_on(&sage, &mut traffic).await;
    // There are far more requests than tell the 99th percentile.
    let usual = advice["trace_ratio"].as_f64().unwrap();
    assert!(usual < 0.5, "{advice:#}");

    // The update.
    let (spec, now) = (longer(), traffic.now());
    traffic.simulator = Simulator::new(&spec, SimConfig::default(), 6, now.0).unwrap();
    let mut said = (Value::Null, Value::Null);
    for _ in 0..NOTICED {
        said = goes_on(&sage, &mut traffic).await;
        if said.1["last_training"]["kind"] == "partial" {
            break;
        }
    }
    let (advice, model) = said;
    let last = &model["last_training"];
    assert_eq!(last["kind"], "partial", "{model:#}");
    assert!(last["reason"].as_str().unwrap().contains("chain-6 is new"), "{last:#}");
    // All but the fifth, which nobody changed and which calls nobody.
    assert_eq!(last["services"], 5, "{last:#}");
    assert_ne!(model["id"], first["id"]);
    assert_eq!(advice["trace_ratio"], 1.0, "{advice:#}");
    let until: EventTime = serde_json::from_value(advice["until"].clone()).unwrap();
    assert!(until > traffic.now(), "{advice:#}");
    sage.running.stop().await;

    // After a restart the advice holds, before any interval has passed, and the change is followed.
    let sage = Sidecar::start(home.path(), tune).await;
    let status = sage.api.get("/api/v1/status").await.unwrap();
    assert_eq!(status["sampling"], advice, "{status:#}");
    let restored = sage.api.get("/api/v1/model").await.unwrap();
    assert_eq!((&restored["id"], &restored["trainings"]), (&model["id"], &Value::from(0)));
    traffic.reconnect(sage.running.http, sage.running.otlp_grpc).await;
    for _ in 0..CONVERGED {
        let (advice, model) = goes_on(&sage, &mut traffic).await;
        if advice["until"].is_null() {
            assert!(advice["trace_ratio"].as_f64().unwrap() < 0.5, "{advice:#}");
            assert!(traffic.now() >= until, "{advice:#}");
            assert_eq!(model["last_training"]["kind"], "partial", "{model:#}");
            assert!(model["trainings"].as_u64().unwrap() >= 2, "{model:#}");
            sage.running.stop().await;
            return;
        }
    }
    panic!("more traces are asked for without end");
}

/// Most of what is watched for changes misses the target then, but not most of what is known.
#[tokio::test(flavor = "multi_thread")]
async fn an_incident_however_long_is_no_update_and_is_still_found_at_its_end() {
    let home = tempfile::tempdir().unwrap();
    let once = |config: &mut sage::config::Config| {
        tune(config);
        config.train.every = std::time::Duration::from_secs(86_400);
    };
    let sage = Sidecar::start(home.path(), once).await;
    let mut traffic = Traffic::new(sage.running.http, sage.running.otlp_grpc, 7).await;
    traffic.everyday(EVERYDAY).await;
    let is_over = |m: &Value| (m["trainings"] != 0).then(|| m.clone());
    for _ in 0..30 {
        traffic.interval(1.0, &[]).await;
    }
    let first = sage.api.wait("training", "/api/v1/model", 600, &is_over).await.unwrap();
    let (victim, kind) = (3, FaultKind::Network);
    let fault = Fault { service: victim, kind, strength: 3.0, replica: None };
    for _ in 0..40 {
        traffic.interval(1.0, &[fault]).await;
    }
    let end = traffic.now();
    let (_, model) = goes_on(&sage, &mut traffic).await;
    assert_eq!((&model["id"], &model["trainings"]), (&first["id"], &first["trainings"]));
    let ends = end.plus(INTERVAL * 100);
    let mut alert = alert_json(&[("service", "chain-1")], EventTime(end.0 - 60_000), Some(ends));
    alert["fingerprint"] = "0123456789abcdef".into();
    let ids = sage.api.alert(&[alert]).await.unwrap();
    let d = sage.diagnosis(&ids[0]).await;
    let cause = &d["root_causes"][0];
    assert_eq!(cause["service"], traffic.service(victim), "{d:#}");
    assert_eq!(cause["resource"], "network", "{d:#}");
    sage.running.stop().await;
}
