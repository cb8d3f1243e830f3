//! The protocol of Grafana's simpod JSON data source, under `/grafana/`: latency of every entry
//! service beside its target.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Problem, json_response};
use super::views::Views;
use crate::data::{EventTime, Frame, Interval, QosTarget};

/// Quantiles offered per service.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

pub(super) fn router() -> Router<Views> {
    let nothing = || async { json_response(StatusCode::OK, &json!([])) };
    Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/metrics", post(metrics))
        .route("/metric-payload-options", post(nothing))
        .route("/query", post(query))
        .route("/variable", post(services))
        .route("/tag-keys", post(nothing))
        .route("/tag-values", post(nothing))
}

/// Entry services of the newest frames, and the configured ones.
fn known_services(views: &Views) -> BTreeSet<String> {
    let everything = Interval { start: EventTime(i64::MIN), end: EventTime(i64::MAX) };
    let newest = (views.frames)(&everything).into_iter().rev().find(|f| !f.rpcs.is_empty());
    let entries = newest.iter().flat_map(|f| &f.rpcs).filter(|r| r.key.is_entry());
    let mut names: BTreeSet<String> = entries.map(|r| r.key.callee.to_string()).collect();
    names.extend(views.targets.borrow().iter().map(|t| t.service.clone()));
    names
}

async fn services(State(views): State<Views>) -> Response {
    let rows: Vec<Value> =
        known_services(&views).into_iter().map(|s| json!({"__text": s, "__value": s})).collect();
    json_response(StatusCode::OK, &Value::Array(rows))
}

async fn metrics(State(views): State<Views>) -> Response {
    let mut rows = Vec::new();
    for service in known_services(&views) {
        let names = QUANTILES.iter().map(|(q, _)| *q).chain(["target"]);
        rows.extend(names.map(|n| {
            json!({"label": format!("{service} {n}"), "value": format!("{service} {n}"), "payloads": []})
        }));
    }
    json_response(StatusCode::OK, &Value::Array(rows))
}

#[derive(Deserialize)]
struct Request {
    range: Range,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Range {
    from: EventTime,
    to: EventTime,
}

#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    target: String,
}

async fn query(State(views): State<Views>, body: Result<Bytes, BytesRejection>) -> Answer {
    let request: Request =
        serde_json::from_slice(&body?).map_err(|e| Problem::bad_data(e.to_string()))?;
    let frames = (views.frames)(&Interval { start: request.range.from, end: request.range.to });
    let rows: Vec<Value> = request
        .targets
        .iter()
        .filter(|t| !t.target.is_empty())
        .map(|t| {
            let points: Vec<Value> = frames
                .iter()
                .filter_map(|f| Some(json!([value(&views, &t.target, f)?, f.interval.start.0])))
                .collect();
            json!({"target": t.target, "datapoints": points})
        })
        .collect();
    Ok(json_response(StatusCode::OK, &Value::Array(rows)))
}

/// The value of `"<service> p99"` or `"<service> target"` in a frame, milliseconds.
fn value(views: &Views, name: &str, frame: &Frame) -> Option<f64> {
    let (service, what) = name.rsplit_once(' ')?;
    if what == "target" {
        return views.targets.borrow().iter().find(|t| t.service == service).map(|t| t.target_ms);
    }
    let (_, quantile) = QUANTILES.iter().find(|(q, _)| *q == what)?;
    QosTarget { service: service.into(), quantile: *quantile, target_ms: 0.0 }.observed_ms(frame)
}
