//! The replay itself.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::labels::{FAULT_MS, Fault, Labels};
use super::objectives::objectives;
use super::recording::Recording;
use super::score::Row;
use super::{metrics, spans};
use crate::config::Config;
use crate::data::{EventTime, Frame, QosTarget};
use crate::lab::wire::{Api, SpanSender, alert_json};

/// Rows are a minute apart, so intervals are a minute long.
const INTERVAL: Duration = Duration::from_secs(60);
/// The rule behind such an alert waits this long before it fires (`for: 1m`).
const FOR: Duration = Duration::from_secs(60);
/// How long training may take.
const TRAINING_S: u64 = 1800;

/// Why nothing can be asked.
const NO_OBJECTIVE: &str = "no objective: in most minutes without faults too few requests enter the application to tell its latency";

/// A running sidecar.
#[derive(Clone, Copy, Debug)]
pub struct Sidecar<'a> {
    /// Its HTTP listener.
    pub http: SocketAddr,
    /// Its OTLP/gRPC listener.
    pub otlp_grpc: SocketAddr,
    /// The file it reads again on reload; overwritten.
    pub config: &'a Path,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How the sidecar must be configured to be fed a recording.
pub fn configure(config: &mut Config) {
    config.window.interval = INTERVAL;
    // Minutes of which the recording has nothing are no reason to forget what was before.
    config.window.lateness = Duration::from_secs(20);
    config.train.min_intervals = config.window.history;
    config.diagnose.pending = FOR;
}

/// Feeds `recording` to the sidecar, has it train, and asks about every label. `progress` hears
/// what is going on and the share done.
///
/// # Errors
/// When the recording cannot be read or the sidecar does not play along.
pub async fn run(
    recording: &Recording,
    sidecar: &Sidecar<'_>,
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<Vec<Row>, Failure> {
    let api = Api::new(sidecar.http);
    let labels = Labels::read(&recording.root)?;
    feed(recording, &api, sidecar.otlp_grpc, progress).await?;
    let frames: Vec<Frame> = serde_json::from_value(api.get("/api/v1/frames?limit=2880").await?)?;
    let frames: Vec<Frame> = frames.into_iter().filter(|f| !f.rpcs.is_empty()).collect();
    let usual: Vec<&Frame> = frames
        .iter()
        .filter(|f| labels.is_free_of_faults(f.interval.start, f.interval.end))
        .collect();
    let objectives = objectives(&usual);
    agree(&api, sidecar.config, &objectives).await?;
    train(&api, progress).await?;
    ask_everything(&api, &labels, &frames, &objectives, progress).await
}

/// Tells the sidecar the objectives the way an operator does: in its file, then reload.
async fn agree(api: &Api, path: &Path, objectives: &[QosTarget]) -> Result<(), Failure> {
    let tables: Vec<String> = objectives
        .iter()
        .map(|o| {
            let (service, quantile, target) = (&o.service, o.quantile, o.target_ms);
            format!("[[qos]]\nservice = {service:?}\nquantile = {quantile}\ntarget_ms = {target}\n")
        })
        .collect();
    std::fs::write(path, tables.concat())?;
    let (status, text) =
        api.call(axum::http::Method::POST, "/-/reload", &[], bytes::Bytes::new()).await?;
    if !status.is_success() {
        return Err(format!("reload: {status} {}", String::from_utf8_lossy(&text)).into());
    }
    Ok(())
}

/// Sends everything in order of time.
async fn feed(
    recording: &Recording,
    api: &Api,
    otlp_grpc: SocketAddr,
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<(), Failure> {
    progress("reading metrics", 0.0);
    let series = metrics::read(&recording.metrics)?;
    let mut sender = SpanSender::connect(otlp_grpc).await?;
    let mut sent = 0;
    for (n, path) in recording.traces.iter().enumerate() {
        progress("replaying", n as f64 / recording.traces.len() as f64);
        let mut minute = spans::read(path)?;
        minute.sort_by_key(|s| s.end_ns);
        let Some(last) = minute.last() else { continue };
        let until = EventTime::from_nanos(last.end_ns).0;
        let due = series[sent..].partition_point(|s| s.samples[0].time_ms <= until);
        api.write(&series[sent..sent + due]).await?;
        sent += due;
        sender.send(&minute).await?;
    }
    api.write(&series[sent..]).await?;
    Ok(())
}

async fn train(api: &Api, progress: &(dyn Fn(&str, f64) + Sync)) -> Result<(), Failure> {
    let before = api.get("/api/v1/model").await?["trainings"].clone();
    let (status, text) =
        api.call(axum::http::Method::POST, "/api/v1/model/train", &[], bytes::Bytes::new()).await?;
    if status != axum::http::StatusCode::ACCEPTED {
        return Err(format!("training: {status} {}", String::from_utf8_lossy(&text)).into());
    }
    let gate = |model: &Value| {
        progress("training", model["progress"].as_f64().unwrap_or(0.0));
        (model["trainings"] != before).then(|| model.clone())
    };
    let model = api.wait("the training", "/api/v1/model", TRAINING_S, &gate).await?;
    match model["error"].as_str() {
        Some(error) => Err(format!("training: {error}").into()),
        None => Ok(()),
    }
}

async fn ask_everything(
    api: &Api,
    labels: &Labels,
    frames: &[Frame],
    objectives: &[QosTarget],
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let quiet: Vec<&Frame> =
        frames.iter().filter(|f| labels.is_quiet(f.interval.start, f.interval.end)).collect();
    let total = (labels.faults.len() + quiet.len()) as f64;
    for fault in &labels.faults {
        progress("asking", rows.len() as f64 / total);
        let end = EventTime(fault.at.0 + FAULT_MS);
        let within: Vec<&Frame> = frames
            .iter()
            .filter(|f| f.interval.end.0 > fault.at.0 && f.interval.start.0 < end.0)
            .collect();
        // A fault of which no span was recorded cannot be seen by anybody.
        if !within.is_empty() {
            let fires = fault.at.plus(FOR);
            rows.push(ask(api, Some(fault), false, (fires, end), &within, objectives).await?);
        }
    }
    for frame in quiet {
        progress("asking", rows.len() as f64 / total);
        let interval = frame.interval;
        let fires = interval.start.plus(FOR);
        let is_odd = labels.looks_wrong(interval.start, interval.end);
        let range = (fires, interval.end);
        rows.push(ask(api, None, is_odd, range, &[frame], objectives).await?);
    }
    Ok(rows)
}

/// Posts what Alertmanager would post about that time: one alert per violated objective, all in one
/// group, or the first objective's when none is. Reads the answer to the objective that was violated
/// in most of the minutes, and of several, to the one closest to the users.
async fn ask(
    api: &Api,
    fault: Option<&Fault>,
    is_odd: bool,
    (start, end): (EventTime, EventTime),
    frames: &[&Frame],
    objectives: &[QosTarget],
) -> Result<Row, Failure> {
    let mut factors: Vec<(usize, f64, &QosTarget)> = objectives
        .iter()
        .map(|o| {
            let worst = frames.iter().filter_map(|f| o.observed_ms(f)).fold(0.0, f64::max);
            let minutes = frames.iter().filter(|f| o.is_violated(f) == Some(true)).count();
            (minutes, worst / o.target_ms, o)
        })
        .collect();
    // Stable: objectives stand in the order of their distance from the users.
    factors.sort_by_key(|(minutes, ..)| std::cmp::Reverse(*minutes));
    let (_, factor, most) = factors.first().ok_or(NO_OBJECTIVE)?;
    let violated = format!("{} p{:.0} x{factor:.2}", most.service, most.quantile * 100.0);
    let alerts: Vec<Value> = factors
        .iter()
        .enumerate()
        .filter(|(n, (_, factor, _))| *n == 0 || *factor > 1.0)
        .map(|(_, (_, _, objective))| alert(objective, start, end))
        .collect();
    let ids = api.alert(&alerts).await?;
    let diagnosis = api.diagnosis(ids.first().ok_or("no diagnosis was begun")?).await?;
    Ok(Row::new(fault.cloned(), is_odd, start.to_string(), violated, &diagnosis))
}

fn alert(objective: &QosTarget, start: EventTime, end: EventTime) -> Value {
    let target = format!("{}", objective.target_ms);
    let quantile = format!("{}", objective.quantile);
    let labels = [
        ("alertname", "LatencyObjective"),
        ("service", objective.service.as_str()),
        ("sage_target_ms", &target),
        ("sage_quantile", &quantile),
    ];
    let mut body = alert_json(&labels, start, Some(end));
    body["fingerprint"] = json!(format!("{}{quantile}", objective.service));
    body
}
