//! `/api/v1`: diagnoses, model, graph, frames, status; fixes stand in `fixes.rs`.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::annotation::annotation;
use super::answer::{
    Answer, Given, Parameters, Problem, RETRY_S, json_response, success, with_code,
};
use super::board::Filter;
use super::stream::frames_json;
use super::views::{Ask, Views};
use crate::data::{EventTime, Interval};
use crate::graph::{CausalNet, cbn_dot, cbn_json, rpc_graph_json};

/// Diagnoses listed unless asked otherwise.
const LIMIT: usize = 100;
/// Frames in one answer unless asked otherwise: an hour at 30 s.
const FRAMES: usize = 120;
/// Frames in one answer; a day of them.
const FRAMES_MAX: usize = 2880;

/// All routes of the reports, and those of `others` on the same listener.
pub fn router(views: Views, others: Router) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/api/v1/diagnoses", get(diagnoses))
        .route("/api/v1/diagnoses/{id}", get(diagnosis))
        .route("/api/v1/model", get(model))
        .route("/api/v1/model/train", post(train))
        .route("/api/v1/graph", get(graph))
        .route("/api/v1/cbn", get(cbn))
        .route("/api/v1/frames", get(frames))
        .route("/api/v1/status", get(status))
        .route("/api/v1/annotations", get(annotations))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(|| async { "Sage is healthy.\n" }))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload))
        .merge(super::fixes::router())
        .nest("/grafana", super::simpod::router())
        // `nest` answers `/grafana` alone; the data source asks for whatever URL it was given.
        .route("/grafana/", get(|| async { "ok" }))
        .fallback(|| async { Problem::not_found("no such path; see / for what there is") })
        .with_state(views)
        .merge(others)
        .method_not_allowed_fallback(|| async { Problem::wrong_method() })
}

async fn diagnoses(State(views): State<Views>, given: Given) -> Answer {
    let p = Parameters::new(given, &["limit", "fingerprint", "service", "since"])?;
    let filter = Filter {
        limit: Some(p.number("limit")?.unwrap_or(LIMIT)),
        fingerprint: p.text("fingerprint").map(Into::into),
        service: p.text("service").map(Into::into),
        since: p.time("since")?,
    };
    success(views.board.list(&filter))
}

async fn diagnosis(State(views): State<Views>, id: Result<Path<String>, PathRejection>) -> Answer {
    let Path(id) = id?;
    let found = views.board.get(&id);
    success(found.ok_or_else(|| Problem::not_found(format!("no diagnosis {id:?}")))?)
}

async fn model(State(views): State<Views>) -> Answer {
    success((views.model)())
}

async fn train(State(views): State<Views>) -> Answer {
    match ask(&views.train).await? {
        true => with_code(StatusCode::ACCEPTED, json!({"state": "training"})),
        false => Err(Problem::conflict("a training is under way; see /api/v1/model")),
    }
}

async fn ask<T>(question: &Ask<T>) -> Result<T, Problem> {
    let (tx, rx) = oneshot::channel();
    let stopping = || Problem::unavailable("shutting down");
    question.send(tx).await.map_err(|_| stopping())?;
    rx.await.map_err(|_| stopping())
}

async fn graph(State(views): State<Views>) -> Answer {
    let graph = views.graph.borrow().clone();
    success(rpc_graph_json(&graph, &CausalNet::new(&graph)))
}

async fn cbn(State(views): State<Views>, given: Given) -> Answer {
    let p = Parameters::new(given, &["format"])?;
    let net = CausalNet::new(&views.graph.borrow().clone());
    match p.text("format") {
        None | Some("json") => success(cbn_json(&net)),
        Some("dot") => {
            let kind = [(header::CONTENT_TYPE, "text/vnd.graphviz")];
            Ok((kind, cbn_dot(&net)).into_response())
        }
        Some(other) => Err(Problem::bad_data(format!("format={other:?}; known: json, dot"))),
    }
}

/// The stretch of time that is asked for; everything when nothing is.
fn range(p: &Parameters) -> Result<Interval, Problem> {
    let start = p.time("from")?.unwrap_or(EventTime(i64::MIN));
    let end = p.time("to")?.unwrap_or(EventTime(i64::MAX));
    if end <= start {
        return Err(Problem::bad_data("to must be after from"));
    }
    Ok(Interval { start, end })
}

async fn frames(State(views): State<Views>, given: Given) -> Answer {
    let p = Parameters::new(given, &["from", "to", "limit"])?;
    let range = range(&p)?;
    let limit = p.number("limit")?.unwrap_or(FRAMES).min(FRAMES_MAX);
    let frames = (views.frames)(&range);
    Ok(frames_json(&frames[frames.len().saturating_sub(limit)..]))
}

async fn status(State(views): State<Views>) -> Answer {
    let progress = (views.progress)();
    let model = (views.model)();
    let graph = views.graph.borrow().clone();
    success(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "watermark": progress.watermark,
        "horizon": progress.horizon,
        "intervals": {
            "length_ms": progress.interval_ms,
            "open": progress.open_intervals,
            "closed": progress.closed_intervals,
            "in_history": progress.history,
        },
        "rpcs": graph.edges().len(),
        "model": {"state": model.state, "id": model.id, "progress": model.progress},
        "sampling": model.sampling,
        "qos": *views.targets.borrow(),
        "counts": views.exposition.samples(),
    }))
}

/// A flat array in the column names of Grafana's Infinity data source.
async fn annotations(State(views): State<Views>, given: Given) -> Answer {
    let p = Parameters::new(given, &["from", "to"])?;
    let range = range(&p)?;
    let regions = views.board.list(&Filter::default()).into_iter().filter_map(|d| annotation(&d));
    let rows: Vec<Value> = regions
        .filter(|a| a.time < range.end.0 && a.time_end >= range.start.0)
        .map(|a| {
            json!({"time": a.time, "timeEnd": a.time_end, "title": a.title, "text": a.text,
                   "tags": a.tags})
        })
        .collect();
    Ok(json_response(StatusCode::OK, &Value::Array(rows)))
}

async fn metrics(State(views): State<Views>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let (kind, text) = views.exposition.scrape(accept);
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn ready(State(views): State<Views>) -> Response {
    let Some(why) = (views.unready)() else { return "Sage is ready.\n".into_response() };
    let again = [(header::RETRY_AFTER, RETRY_S)];
    (StatusCode::SERVICE_UNAVAILABLE, again, format!("{why}\n")).into_response()
}

async fn reload(State(views): State<Views>) -> Answer {
    match ask(&views.reload).await? {
        Ok(what) => success(what),
        Err(faults) => Err(Problem::bad_data(faults)),
    }
}
