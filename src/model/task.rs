//! When to train, on a thread of its own, and which model is in use.
//!
//! Ingest and diagnosis never wait for training: frames are read from the history, the newest good
//! model is published, and a failed or worse one changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use super::config::Config;
use super::dataset::split;
use super::error::Error;
use super::fit::fit;
use super::metrics::Metrics;
use super::predict::Model;
use super::quality::within_r2;
use super::train::Lesson;
use crate::data::{EventTime, FeatureUse, Frame, ModelState, ModelStatus, NodeQuality, SavedModel};
use crate::graph::{CausalNet, RpcGraph};

/// A new model may be this much worse (R² in log space, within RPCs) than the one in use, on intervals
/// neither was trained on: it knows newer data, and the measure is noisy.
const TOLERANCE: f64 = 0.02;
/// Share of the requests that may be of RPCs the model does not know before it is trained again early.
const UNKNOWN_MAX: f64 = 0.05;
/// Newest intervals that are looked at for that, and intervals between two such trainings.
const LOOK_BACK: usize = 20;

/// What everybody sees of the model.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What it is doing.
    pub state: ModelState,
    /// Share of the current training that is done.
    pub progress: f32,
    /// The model in use.
    pub model: Option<Arc<Model>>,
    /// What went wrong the last time, until something goes right.
    pub error: Option<String>,
    /// Trainings finished since the start, whatever came of them.
    pub trainings: u64,
}

impl Status {
    /// What the API says.
    pub fn view(&self) -> ModelStatus {
        let model = self.model.as_deref();
        let quality = model.map(|m| &m.quality);
        ModelStatus {
            state: self.state,
            progress: self.progress,
            id: model.map(|m| m.id.clone()),
            trained_at: model.map(|m| m.trained_at),
            intervals: model.map(|m| m.intervals),
            r2: quality.map(|q| q.r2),
            r2_log: quality.map(|q| q.r2_log),
            r2_prior: quality.map(|q| q.r2_prior),
            rmse_ms: quality.map(|q| q.rmse_ms),
            parameters: model.map(|m| m.evaluator.network.parameters()),
            nodes: model.map(nodes).unwrap_or_default(),
            features: model.map(features).unwrap_or_default(),
            error: self.error.clone(),
            trainings: self.trainings,
        }
    }
}

fn nodes(model: &Model) -> Vec<NodeQuality> {
    let fit = model.net.rpcs.iter().zip(&model.quality.by_rpc);
    fit.map(|(rpc, r2)| NodeQuality { rpc: rpc.key.to_string(), r2: *r2 }).collect()
}

fn features(model: &Model) -> Vec<FeatureUse> {
    let of = |f: &super::features::Feature| FeatureUse {
        feature: f.name.clone(),
        resource: f.resource.to_string(),
        used: f.kept,
    };
    model.features.features.iter().map(of).collect()
}

/// Whether QoS was met in each of some frames.
pub(super) type Met = dyn Fn(&[&Frame]) -> Vec<bool> + Send + Sync;

/// Where the task gets its material.
pub struct Inputs {
    /// Told of every closed frame.
    pub frames: mpsc::Receiver<Arc<Frame>>,
    /// All closed frames, oldest first.
    pub history: Box<dyn Fn() -> Vec<Arc<Frame>> + Send + Sync>,
    /// Whether QoS was met in each of the frames.
    pub met: Arc<Met>,
    /// How RPC graphs are learnt.
    pub graph: crate::graph::Config,
    /// Requests to train now; answered when the training has begun.
    pub requests: mpsc::Receiver<oneshot::Sender<bool>>,
    /// Saves a model; called on the training thread.
    pub save: Arc<dyn Fn(SavedModel) + Send + Sync>,
}

/// Runs until the frames end. `restored` is the model of the last run.
pub async fn run(
    config: Config,
    mut inputs: Inputs,
    status: watch::Sender<Status>,
    metrics: Metrics,
    restored: Option<Arc<Model>>,
) {
    let mut last_tried = restored.as_ref().map(|m| m.trained_at);
    if let Some(model) = restored {
        metrics.show(&model);
        status.send_replace(Status {
            state: ModelState::Ready,
            model: Some(model),
            ..Status::default()
        });
    }
    let cancel = Arc::new(AtomicBool::new(false));
    let (done_tx, mut done) = mpsc::channel::<Result<Model, Error>>(1);
    let mut busy = false;
    loop {
        let wanted = tokio::select! {
            frame = inputs.frames.recv() => match frame {
                None => break,
                Some(frame) => {
                    let model = status.borrow().model.clone();
                    !busy && is_due(&config, &inputs, (last_tried, model.as_deref()), &frame)
                }
            },
            Some(begun) = inputs.requests.recv() => {
                // The requester may be gone; the training goes on.
                let _gone = begun.send(!busy);
                !busy
            }
            Some(result) = done.recv() => {
                busy = false;
                settle(result, &status, &metrics, &inputs.save);
                false
            }
        };
        if wanted {
            let frames = usable(&config, &inputs);
            last_tried = frames.last().map(|f| f.interval.end).or(last_tried);
            busy = true;
            status.send_modify(|s| (s.state, s.progress) = (ModelState::Training, 0.0));
            metrics.training.set(1);
            spawn(&config, frames, &inputs, status.clone(), cancel.clone(), done_tx.clone());
        }
    }
    cancel.store(true, Ordering::Relaxed);
}

/// Frames with requests, the newest `max_intervals` of them, oldest first.
fn usable(config: &Config, inputs: &Inputs) -> Vec<Arc<Frame>> {
    let mut frames: Vec<Arc<Frame>> =
        (inputs.history)().into_iter().filter(|f| !f.rpcs.is_empty()).collect();
    frames.drain(..frames.len().saturating_sub(config.max_intervals));
    frames
}

fn is_due(
    config: &Config,
    inputs: &Inputs,
    (last_tried, model): (Option<EventTime>, Option<&Model>),
    newest: &Frame,
) -> bool {
    match last_tried {
        Some(tried) => {
            let length = newest.interval.end.0 - newest.interval.start.0;
            let is_long_ago = newest.interval.end.0 - tried.0 >= length * LOOK_BACK as i64;
            newest.interval.end >= tried.plus(config.every)
                || is_long_ago && model.is_some_and(|m| is_outgrown(m, &(inputs.history)()))
        }
        None => {
            (inputs.history)().iter().filter(|f| !f.rpcs.is_empty()).count() >= config.min_intervals
        }
    }
}

/// Whether the application has come to do much that the model does not know.
fn is_outgrown(model: &Model, history: &[Arc<Frame>]) -> bool {
    let (mut unknown, mut all) = (0, 0);
    for rpc in history.iter().rev().take(LOOK_BACK).flat_map(|f| &f.rpcs) {
        all += rpc.count;
        unknown += if model.net.rpc(&rpc.key).is_none() { rpc.count } else { 0 };
    }
    unknown as f64 > UNKNOWN_MAX * all as f64
}

fn spawn(
    config: &Config,
    frames: Vec<Arc<Frame>>,
    inputs: &Inputs,
    status: watch::Sender<Status>,
    cancel: Arc<AtomicBool>,
    done: mpsc::Sender<Result<Model, Error>>,
) {
    let (config, graph, met) = (config.clone(), inputs.graph.clone(), inputs.met.clone());
    let work = tokio::task::spawn_blocking(move || {
        let plain: Vec<&Frame> = frames.iter().map(|f| &**f).collect();
        let net = CausalNet::new(&RpcGraph::learn(plain.iter().copied(), &graph));
        let met = met(&plain);
        let lesson = Lesson { frames: &plain, met: &met, net: &net };
        let progress = |share: f32| {
            status.send_if_modified(|s| {
                let moved = share - s.progress >= 0.01;
                if moved {
                    s.progress = share;
                }
                moved
            });
        };
        tracing::info!(intervals = plain.len(), rpcs = net.rpcs.len(), "training begins");
        let current = status.borrow().model.clone();
        fit(&lesson, &config, &progress, &cancel)
            .and_then(|model| better(model, &plain, current.as_deref()))
    });
    tokio::spawn(async move {
        let result = work.await.unwrap_or_else(|panic| Err(Error::Internal(panic.to_string())));
        // The task is gone when the program stops.
        drop(done.send(result).await);
    });
}

/// Lets a model pass unless the one in use is clearly better at the RPCs both know, on frames that were
/// held back from both.
fn better(model: Model, frames: &[&Frame], current: Option<&Model>) -> Result<Model, Error> {
    if !model.quality.rmse_ms.is_finite() {
        return Err(Error::Diverged { step: 0 });
    }
    let Some(current) = current else { return Ok(model) };
    let unseen: Vec<&Frame> = split(frames).1.into_iter().map(|t| frames[t]).collect();
    let of = |m: &Model, other: &Model| -> Option<f64> {
        let shared = m.net.rpcs.iter().map(|r| other.net.rpc(&r.key).is_some());
        within_r2(m, &unseen, &shared.collect::<Vec<_>>())
    };
    match (of(current, &model), of(&model, current)) {
        (Some(old), Some(new)) if new + TOLERANCE < old => Err(Error::Worse { new, old }),
        _ => Ok(model),
    }
}

fn settle(
    result: Result<Model, Error>,
    status: &watch::Sender<Status>,
    metrics: &Metrics,
    save: &Arc<dyn Fn(SavedModel) + Send + Sync>,
) {
    metrics.training.set(0);
    match result {
        Ok(model) => {
            tracing::info!(
                id = model.id,
                r2 = model.quality.r2,
                rmse_ms = model.quality.rmse_ms,
                "model ready"
            );
            metrics.trained.inc();
            metrics.show(&model);
            match model.save() {
                Ok(saved) => {
                    let save = save.clone();
                    tokio::task::spawn_blocking(move || save(saved));
                }
                Err(error) => tracing::error!(%error, "the model cannot be saved"),
            }
            let trainings = status.borrow().trainings + 1;
            status.send_replace(Status {
                state: ModelState::Ready,
                progress: 1.0,
                model: Some(Arc::new(model)),
                error: None,
                trainings,
            });
        }
        Err(error) => {
            tracing::warn!(%error, "no new model");
            metrics.failed.inc();
            status.send_modify(|s| {
                s.state = if s.model.is_some() { ModelState::Ready } else { ModelState::Failed };
                s.error = Some(error.to_string());
                s.trainings += 1;
            });
        }
    }
}
