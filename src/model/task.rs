//! When to train, on a thread of its own, and which model is in use.
//!
//! Ingest and diagnosis never wait for training: frames are read from the history, the newest good
//! model is published, and a failed or worse one changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use super::advice::{Adviser, Known};
use super::config::Config;
use super::dataset::split;
use super::error::Error;
use super::fit::fit;
use super::kept::Kept;
use super::memory::newest_that_fit;
use super::metrics::Metrics;
use super::partial::{Reach, Update, retrain};
use super::policy::{Next, Policy, Work};
use super::predict::Model;
use super::quality::within_r2;
use super::status::Status;
use super::train::Lesson;
use crate::data::{
    EventTime, Frame, ModelState, QosTarget, SavedModel, TrainingDone, TrainingKind,
};
use crate::graph::{CausalNet, RpcGraph};

/// A new model may be this much worse (R² in log space, within RPCs) than the one in use, on intervals
/// neither was trained on: it knows newer data, and the measure is noisy.
const TOLERANCE: f64 = 0.02;
/// Newest intervals that are watched for changes.
const WATCHED: usize = 64;

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
    /// What is wanted to be known of the requests, for advice on how many should be traced.
    pub targets: Box<dyn Fn() -> Vec<QosTarget> + Send + Sync>,
    /// How RPC graphs are learnt.
    pub graph: crate::graph::Config,
    /// Requests to train now; answered when the training has begun.
    pub requests: mpsc::Receiver<oneshot::Sender<bool>>,
    /// Saves a model; called on the training thread.
    pub save: Arc<dyn Fn(SavedModel) + Send + Sync>,
}

/// A training that has ended.
struct Ended {
    result: Result<Model, Error>,
    done: TrainingDone,
}

/// What a training is to be about.
#[derive(Clone, Debug)]
enum Task {
    Full(&'static str),
    Partial(Work),
}

/// Runs until the frames end. `restored` is what the last run left: its model, and the change that was
/// being followed.
pub async fn run(
    config: Config,
    mut inputs: Inputs,
    status: watch::Sender<Status>,
    metrics: Metrics,
    restored: Option<Kept>,
) {
    let mut last_tried = restored.as_ref().map(|kept| kept.model.trained_at);
    let mut policy = restored
        .map_or_else(Policy::default, |kept| go_on(kept, &(inputs.history)(), &status, &metrics));
    let mut adviser = Adviser::new(config.quantile_error);
    if status.borrow().model.is_some() {
        advise(&mut adviser, &policy, &inputs, &status, &metrics);
    }
    let cancel = Arc::new(AtomicBool::new(false));
    let (ended_tx, mut ended) = mpsc::channel::<Ended>(1);
    let mut busy = false;
    loop {
        let task = tokio::select! {
            frame = inputs.frames.recv() => match frame {
                None => break,
                Some(frame) => {
                    let model = status.borrow().model.clone();
                    let (watching, work) = watch_for_changes(policy, model.clone(), &inputs, busy).await;
                    policy = watching;
                    advise(&mut adviser, &policy, &inputs, &status, &metrics);
                    match work {
                        Some(Next::Retrain(work)) => Some(Task::Partial(work)),
                        Some(Next::Restore(model)) => {
                            restore(model, &status, &metrics, &inputs.save);
                            None
                        }
                        None if busy || policy.is_open() => None,
                        None => due(&config, &inputs, (last_tried, model.as_deref()), &frame)
                            .map(Task::Full),
                    }
                }
            },
            Some(begun) = inputs.requests.recv() => {
                // The requester may be gone; the training goes on.
                let _gone = begun.send(!busy);
                (!busy).then_some(Task::Full("asked for"))
            }
            Some(ended) = ended.recv() => {
                busy = false;
                settle(ended, policy.following(), &status, &metrics, &inputs.save);
                advise(&mut adviser, &policy, &inputs, &status, &metrics);
                None
            }
        };
        if let Some(task) = task {
            let since = status.borrow().model.as_ref().and_then(|m| m.newest_change());
            let since = if matches!(task, Task::Full(_)) { since } else { None };
            let frames = usable(&config, &inputs, since);
            if matches!(task, Task::Full(_)) {
                last_tried = frames.last().map(|f| f.interval.end).or(last_tried);
            }
            busy = true;
            status.send_modify(|s| (s.state, s.progress) = (ModelState::Training, 0.0));
            metrics.training.set(1);
            spawn(
                &config,
                (frames, task),
                &inputs,
                status.clone(),
                cancel.clone(),
                ended_tx.clone(),
            );
        }
    }
    cancel.store(true, Ordering::Relaxed);
}

/// Takes up what the last run left.
fn go_on(
    kept: Kept,
    history: &[Arc<Frame>],
    status: &watch::Sender<Status>,
    metrics: &Metrics,
) -> Policy {
    let Kept { model, following } = kept;
    metrics.show(&model);
    status.send_replace(Status {
        state: ModelState::Ready,
        model: Some(model.clone()),
        ..Status::default()
    });
    let usable: Vec<&Frame> = history.iter().map(|f| &**f).filter(|f| !f.rpcs.is_empty()).collect();
    following.map_or_else(Policy::default, |work| {
        tracing::info!(changes = work.changes.reason(), "still following a change");
        Policy::resumed(work, &model, &usable)
    })
}

/// Looks at the newest frames for a change of the application, on a thread that nobody waits for.
async fn watch_for_changes(
    policy: Policy,
    model: Option<Arc<Model>>,
    inputs: &Inputs,
    busy: bool,
) -> (Policy, Option<Next>) {
    let Some(model) = model.filter(|_| !busy) else { return (policy, None) };
    let frames: Vec<Arc<Frame>> =
        (inputs.history)().into_iter().filter(|f| !f.rpcs.is_empty()).collect();
    let (met, kept) = (inputs.met.clone(), policy.clone());
    let look = tokio::task::spawn_blocking(move || {
        let mut policy = policy;
        let plain: Vec<&Frame> = frames.iter().map(|f| &**f).collect();
        // All of history says whether a target means something. The newest intervals may miss it one and all: that is
        // an incident, and not what the application has become.
        let met = met(&plain);
        let from = plain.len().saturating_sub(WATCHED);
        let work = policy.observe(&model, &plain[from..], &met[from..]);
        (policy, work)
    });
    look.await.unwrap_or_else(|panic| {
        tracing::error!(error = %panic, "looking for changes failed, please report");
        (kept, None)
    })
}

/// Says how many requests should be traced.
fn advise(
    adviser: &mut Adviser,
    policy: &Policy,
    inputs: &Inputs,
    status: &watch::Sender<Status>,
    metrics: &Metrics,
) {
    let history = (inputs.history)();
    let Some(interval) = history.last().map(|f| f.interval) else { return };
    let frames: Vec<&Frame> = history.iter().map(|f| &**f).collect();
    let targets = (inputs.targets)();
    let known = Known {
        frames: &frames,
        targets: &targets,
        converging: policy.converging(interval.end, interval.end.0 - interval.start.0),
        has_model: status.borrow().model.is_some(),
    };
    let advice = adviser.advise(&known);
    metrics.advised(&advice, known.wants_more(&advice));
    status.send_if_modified(|s| {
        let is_new = s.sampling != advice;
        s.sampling = advice;
        is_new
    });
}

/// Frames with requests from `since` on, the newest that are allowed and fit in memory, oldest first.
fn usable(config: &Config, inputs: &Inputs, since: Option<EventTime>) -> Vec<Arc<Frame>> {
    let is_usable =
        |f: &Arc<Frame>| !f.rpcs.is_empty() && since.is_none_or(|since| f.interval.start >= since);
    let mut frames: Vec<Arc<Frame>> = (inputs.history)().into_iter().filter(is_usable).collect();
    frames.drain(..frames.len().saturating_sub(config.max_intervals));
    newest_that_fit(frames, config.memory_bytes_max)
}

/// Why everything should be trained from scratch now, if it should. After a change that has to wait until
/// there are intervals enough since.
fn due(
    config: &Config,
    inputs: &Inputs,
    (last_tried, model): (Option<EventTime>, Option<&Model>),
    newest: &Frame,
) -> Option<&'static str> {
    let is_late = last_tried.is_none_or(|tried| newest.interval.end >= tried.plus(config.every));
    let since = model.and_then(Model::newest_change);
    let count = || {
        let history = (inputs.history)();
        let is_counted = |f: &&Arc<Frame>| {
            !f.rpcs.is_empty() && since.is_none_or(|since| f.interval.start >= since)
        };
        history.iter().filter(is_counted).count()
    };
    let is_enough = || (model.is_some() && since.is_none()) || count() >= config.min_intervals;
    match (is_late && is_enough(), last_tried) {
        (false, _) => None,
        (true, None) => Some("enough intervals for a first model"),
        (true, Some(_)) => Some("train.every"),
    }
}

fn spawn(
    config: &Config,
    (frames, task): (Vec<Arc<Frame>>, Task),
    inputs: &Inputs,
    status: watch::Sender<Status>,
    cancel: Arc<AtomicBool>,
    ended: mpsc::Sender<Ended>,
) {
    let (config, graph, met) = (config.clone(), inputs.graph.clone(), inputs.met.clone());
    let mut done = match &task {
        Task::Full(why) => about(TrainingKind::Full, (*why).into()),
        Task::Partial(work) => about(TrainingKind::Partial, work.changes.reason()),
    };
    let begun = clock();
    let work = tokio::task::spawn_blocking(move || {
        let plain: Vec<&Frame> = frames.iter().map(|f| &**f).collect();
        let met = met(&plain);
        let progress = |share: f32| {
            status.send_if_modified(|s| {
                let moved = share - s.progress >= 0.01;
                if moved {
                    s.progress = share;
                }
                moved
            });
        };
        let current = status.borrow().model.clone();
        match task {
            Task::Full(why) => {
                let net = CausalNet::new(&RpcGraph::learn(plain.iter().copied(), &graph));
                tracing::info!(
                    why,
                    intervals = plain.len(),
                    rpcs = net.rpcs.len(),
                    "training begins"
                );
                let lesson = Lesson { frames: &plain, met: &met, net: &net };
                let mut model = fit(&lesson, &config, &progress, &cancel)?;
                let since = current.as_ref().and_then(|m| m.newest_change());
                model.changed_at = since.map_or_else(Vec::new, |t| vec![t; net.services.len()]);
                let unseen: Vec<&Frame> = split(&plain).1.into_iter().map(|t| plain[t]).collect();
                better(model, &unseen, current.as_deref())
            }
            Task::Partial(Work { base, changes }) => {
                tracing::info!(changes = changes.reason(), since = %changes.since, "the application has changed");
                let update = Update { frames: &plain, met: &met, changes: &changes };
                let model = retrain(&base, &update, (&config, Reach::Partial), &progress, &cancel)?;
                let from = plain.partition_point(|f| f.interval.start < changes.since);
                better(model, &plain[from..], current.as_deref())
            }
        }
    });
    tokio::spawn(async move {
        let result = work.await.unwrap_or_else(|panic| Err(Error::Internal(panic.to_string())));
        done.services = result.as_ref().map_or(0, |m| m.trained_services);
        done.seconds = begun.elapsed().as_secs_f64();
        // The task is gone when the program stops.
        drop(ended.send(Ended { result, done }).await);
    });
}

fn about(kind: TrainingKind, reason: String) -> TrainingDone {
    TrainingDone { kind, reason, services: 0, seconds: 0.0 }
}

#[allow(clippy::disallowed_methods, reason = "how long a training takes is wall-clock time")]
fn clock() -> Instant {
    Instant::now()
}

/// Lets a model pass unless the one in use is clearly better at the RPCs both know, on frames that teach
/// neither more than the other.
fn better(model: Model, frames: &[&Frame], current: Option<&Model>) -> Result<Model, Error> {
    if !model.quality.rmse_ms.is_finite() {
        return Err(Error::Diverged { step: 0 });
    }
    let Some(current) = current else { return Ok(model) };
    let of = |m: &Model, other: &Model| -> Option<f64> {
        let shared = m.net.rpcs.iter().map(|r| other.net.rpc(&r.key).is_some());
        within_r2(m, frames, &shared.collect::<Vec<_>>())
    };
    match (of(current, &model), of(&model, current)) {
        (Some(old), Some(new)) if new + TOLERANCE < old => Err(Error::Worse { new, old }),
        _ => Ok(model),
    }
}

/// Puts the model from before a change that has passed to use again.
fn restore(
    model: Arc<Model>,
    status: &watch::Sender<Status>,
    metrics: &Metrics,
    save: &Arc<dyn Fn(SavedModel) + Send + Sync>,
) {
    tracing::info!(id = model.id, "what had changed is as before; so is the model");
    metrics.show(&model);
    keep(&Kept { model: model.clone(), following: None }, save);
    status.send_modify(|s| s.model = Some(model));
}

/// Saves a model.
fn keep(kept: &Kept, save: &Arc<dyn Fn(SavedModel) + Send + Sync>) {
    match kept.save() {
        Ok(saved) => {
            let save = save.clone();
            tokio::task::spawn_blocking(move || save(saved));
        }
        Err(error) => tracing::error!(%error, "the model cannot be saved"),
    }
}

/// Publishes and saves a new model; `following` is the change it is not the last word on.
fn settle(
    Ended { result, done }: Ended,
    following: Option<&Work>,
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
                services = done.services,
                seconds = done.seconds,
                "model ready"
            );
            metrics.trained(&done);
            metrics.show(&model);
            let model = Arc::new(model);
            keep(&Kept { model: model.clone(), following: following.cloned() }, save);
            status.send_modify(|s| {
                s.state = ModelState::Ready;
                s.progress = 1.0;
                s.model = Some(model);
                s.error = None;
                s.trainings += 1;
                s.last_training = Some(done);
            });
        }
        Err(error) => {
            tracing::warn!(%error, "no new model");
            metrics.failed.inc();
            status.send_modify(|s| {
                s.state = if s.model.is_some() { ModelState::Ready } else { ModelState::Failed };
                s.progress = 1.0;
                s.error = Some(error.to_string());
                s.trainings += 1;
            });
        }
    }
}
