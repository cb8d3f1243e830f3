//! One load after another: spans, samples, the same samples to somebody else.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::bodies::Bodies;
use super::drive::{Clock, Stream, drive};
use super::process::{Watch, reading};
use super::report::{Outcome, drops};
use super::samples::sample_bodies;
use super::spans::{Shape, span_bodies};
use super::target::Target;
use crate::lab::wire::{Api, ApiError};

/// What is sent, how fast and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Spans a second.
    pub spans_per_s: f64,
    /// Samples a second.
    pub samples_per_s: f64,
    /// How long each load lasts.
    pub duration: Duration,
    /// Connections of each load.
    pub connections: usize,
    /// Different RPCs.
    pub rpcs: usize,
    /// Different series.
    pub series: usize,
    /// Spans in one request.
    pub request_spans: usize,
    /// Samples in one request.
    pub request_samples: usize,
    /// What the spans are like.
    pub shape: Shape,
}

/// Somebody who is loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What tables call it.
    pub name: String,
    /// Where it listens.
    pub target: Target,
    /// Its process, if that is known.
    pub pid: Option<i32>,
    /// Where it tells what it dropped, if it is a sidecar.
    pub status: Option<Api>,
}

/// What a sidecar counts, once it has worked off what it has acknowledged.
pub(super) async fn settled(api: &Api) -> Result<Value, ApiError> {
    let mut last = api.get("/api/v1/status").await?;
    for _ in 0..SETTLE_LOOKS {
        tokio::time::sleep(SETTLE).await;
        let now = api.get("/api/v1/status").await?;
        if WORK.iter().all(|name| now["counts"][name] == last["counts"][name]) {
            break;
        }
        last = now;
    }
    Ok(last)
}

async fn status(api: Option<&Api>) -> Result<Option<Value>, ApiError> {
    match api {
        Some(api) => settled(api).await.map(Some),
        None => Ok(None),
    }
}

/// Between two looks at whether everything has been worked off, and how many there are.
const SETTLE: Duration = Duration::from_millis(250);
const SETTLE_LOOKS: usize = 40;
/// What still changes while there is something to work off.
const WORK: [&str; 3] =
    ["sage_window_spans_waiting", "sage_window_series", "sage_window_frames_total"];

impl Plan {
    /// What the protocol of `target` carries.
    pub fn bodies(&self, target: &Target) -> Bodies {
        if target.protocol.is_spans() {
            span_bodies(self.shape, self.rpcs, self.request_spans, 1)
        } else {
            sample_bodies(target.protocol, "svc", self.series, self.request_samples)
        }
    }

    /// Items a second for `target`.
    pub fn items_per_s(&self, target: &Target) -> f64 {
        if target.protocol.is_spans() { self.spans_per_s } else { self.samples_per_s }
    }

    /// For the JSON that tables are written to.
    pub fn to_json(&self) -> Value {
        json!({
            "spans_per_s": self.spans_per_s, "samples_per_s": self.samples_per_s,
            "duration_s": self.duration.as_secs_f64(), "connections": self.connections,
            "rpcs": self.rpcs, "series": self.series, "request_spans": self.request_spans,
            "request_samples": self.request_samples, "halves": self.shape == Shape::Halves,
        })
    }
}

/// Loads each in turn.
///
/// # Errors
/// When a sidecar does not say how it is.
pub async fn load(
    plan: &Plan,
    all: &[Loaded],
    clock: Clock,
    show: &(dyn Fn(&str, f64) + Sync),
) -> Result<Vec<Outcome>, ApiError> {
    let mut outcomes = Vec::new();
    for (i, who) in all.iter().enumerate() {
        let what = format!("{} {}", who.name, who.target.protocol.name());
        show(&what, i as f64 / all.len() as f64);
        if plan.items_per_s(&who.target) > 0.0 {
            outcomes.push(one(plan, who, clock).await?);
        }
    }
    Ok(outcomes)
}

async fn one(plan: &Plan, who: &Loaded, clock: Clock) -> Result<Outcome, ApiError> {
    let stream = Stream {
        target: who.target.clone(),
        bodies: Arc::new(plan.bodies(&who.target)),
        items_per_s: plan.items_per_s(&who.target),
        connections: plan.connections,
    };
    let before = status(who.status.as_ref()).await?;
    let (cpu, watch) = (who.pid.and_then(reading), who.pid.map(Watch::start));
    let tally = drive(std::slice::from_ref(&stream), plan.duration, clock).await.remove(0);
    let after = status(who.status.as_ref()).await?;
    let end = who.pid.and_then(reading);
    Ok(Outcome {
        receiver: who.name.clone(),
        protocol: who.target.protocol.name(),
        offered_per_s: stream.items_per_s,
        seconds: plan.duration.as_secs_f64(),
        tally,
        drops: before.zip(after).map(|(before, after)| drops(&before, &after)),
        peak_bytes: watch.map(Watch::stop),
        resident_bytes: end.map(|r| r.resident_bytes),
        cpu_s: cpu.zip(end).map(|(before, after)| after.cpu_s - before.cpu_s),
    })
}
