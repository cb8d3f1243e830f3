//! The pipeline as code: every channel and every task once, left to right. No policy here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use axum::Router;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::budget::{DIAGNOSES_BYTES, Lowered, split};
use super::disk::{DiskJournal, keep_fixes, load_model, pair_up, pushed, remember, write_frames};
use super::error::Error;
use super::news::{fan_out, post_news, tell};
use super::views::{facts, follow_graph, learn_graph, progress_view, relieve, unready, wall_ms};
use crate::config::Config;
use crate::data::{Diagnosis, FixRecord, Frame, QosTarget, Telemetry};
use crate::delivery::AlertDelivery;
use crate::graph::RpcGraph;
use crate::model::Status;
use crate::observe::{Exposition, ProcessCollector, Registry};
use crate::queue::weighted;
use crate::report::{Board, Views};
use crate::store::{Handle, Restored};
use crate::window::{History, Outputs, Progress, Windower};
use crate::{act, diagnose, http, memory, model, receive, report, store, window};

/// Deliveries of the webhook that may wait for the journal. A full queue answers 503.
const DELIVERIES: usize = 256;
/// Frames that may wait for one consumer. A full queue holds up the windows, and they the senders.
const FRAMES: usize = 64;
/// News about diagnoses that may wait for one consumer.
const NEWS: usize = 1024;
/// Questions from the API that may wait.
const QUESTIONS: usize = 4;

/// A part of the sidecar that runs until it has nothing left to do.
pub(super) type Part = (&'static str, JoinHandle<()>);
/// Answered with what a reload came to.
pub(super) type ReloadRequest = oneshot::Sender<Result<String, String>>;

/// All fixes, in order of arrival.
type Fixes = Arc<Vec<FixRecord>>;

/// A built pipeline: routers to serve and tasks that run.
pub(super) struct Pipeline {
    pub(super) http: Router,
    pub(super) otlp_grpc: Router,
    pub(super) otlp_http: Router,
    pub(super) listen: http::Metrics,
    /// Whether senders are welcome, for those who watch.
    pub(super) is_serving: watch::Sender<bool>,
    /// In the order in which they end once the listeners are gone.
    pub(super) tasks: Vec<Part>,
    pub(super) is_ready: Arc<AtomicBool>,
    /// How short memory is, and what tells it.
    pub(super) pressure: memory::Pressure,
    pub(super) limits: memory::Limits,
    pub(super) relieve: memory::Relieve,
    pub(super) memory: memory::Metrics,
    pub(super) reload: mpsc::Sender<ReloadRequest>,
    pub(super) reloads: mpsc::Receiver<ReloadRequest>,
    pub(super) targets: watch::Sender<Vec<QosTarget>>,
}

/// What every stage counts.
struct Metrics {
    listen: http::Metrics,
    memory: memory::Metrics,
    receive: receive::Metrics,
    window: window::Metrics,
    model: model::Metrics,
    diagnose: diagnose::Metrics,
    report: report::Metrics,
    store: store::Metrics,
    act: act::Metrics,
    registry: Registry,
}

impl Metrics {
    fn new(config: &Config) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector));
        Self {
            listen: http::Metrics::register(&mut registry),
            memory: memory::Metrics::register(&mut registry),
            receive: receive::Metrics::register(&mut registry),
            window: window::Metrics::register(&mut registry),
            model: model::Metrics::register(&mut registry),
            diagnose: diagnose::Metrics::register(&mut registry),
            report: report::Metrics::register(&mut registry),
            store: store::Metrics::register(&mut registry),
            act: act::Metrics::register(&mut registry, &config.act),
            registry,
        }
    }
}

/// What several parts look at.
struct Shared {
    history: History,
    board: Board,
    disk: Handle,
    /// Start of the oldest open interval, milliseconds.
    horizon_ms: Arc<AtomicI64>,
    is_ready: Arc<AtomicBool>,
}

/// Ends of channels of which only the newest value matters.
struct Latest {
    progress: (watch::Sender<Progress>, watch::Receiver<Progress>),
    model: (watch::Sender<Status>, watch::Receiver<Status>),
    graph: (watch::Sender<Arc<RpcGraph>>, watch::Receiver<Arc<RpcGraph>>),
    targets: (watch::Sender<Vec<QosTarget>>, watch::Receiver<Vec<QosTarget>>),
    fixes: (watch::Sender<Fixes>, watch::Receiver<Fixes>),
}

/// Builds and starts everything but the listeners.
#[allow(
    clippy::too_many_lines,
    reason = "one line a channel and one a task: the program as a list"
)]
pub(super) fn build(config: &Config) -> Result<Pipeline, Error> {
    let mut metrics = Metrics::new(config);
    let (config, limits, diagnoses_bytes) = &within_budget(config, &metrics.memory)?;
    let pressure = memory::Pressure::default();
    let token = config.grafana.read_token().map_err(|source| Error::Token {
        path: config.grafana.token_file.clone().unwrap_or_default(),
        source,
    })?;
    let (frames_kept, diagnoses_kept) = (config.window.history, config.diagnose.keep);
    let kept = store::Kept {
        frames: frames_kept,
        frames_bytes: config.window.history_bytes_max,
        diagnoses: diagnoses_kept,
        diagnoses_bytes: *diagnoses_bytes,
        fixes: config.act.keep,
    };
    let (disk, restored, store) = store::open(&config.data.dir, kept, metrics.store.clone())?;
    let Restored { frames, alerts, diagnoses, annotations, model, fixes } = restored;
    let horizon = frames.last().map(|f| f.interval.end);
    let (bytes_max, bytes) =
        (config.window.history_bytes_max, metrics.window.history_bytes.clone());
    let history = History::new(frames_kept, bytes_max, bytes);
    frames.into_iter().for_each(|frame| history.push(Arc::new(frame)));
    let alerts = pair_up(alerts, &diagnoses);
    let fixed = act::Restored {
        fixes: fixes.clone(),
        diagnoses: diagnoses.clone(),
        newest: history.newest(),
    };
    let bytes = usize::try_from(*diagnoses_bytes).unwrap_or(usize::MAX);
    let room = report::Room { diagnoses: diagnoses_kept, bytes };
    let shared = Shared {
        board: Board::new(room, diagnoses, metrics.report.clone()),
        horizon_ms: Arc::new(AtomicI64::new(horizon.map_or(i64::MIN, |h| h.0))),
        is_ready: Arc::new(AtomicBool::new(false)),
        history,
        disk,
    };
    let latest = Latest {
        progress: watch::channel(Progress::default()),
        model: watch::channel(Status::default()),
        graph: watch::channel(learn_graph(&shared.history, &config.graph)),
        targets: watch::channel(config.qos.clone()),
        fixes: watch::channel(Arc::new(fixes)),
    };

    let in_newest = shared.history.clone();
    metrics.registry.register_collector(Box::new(report::Gauges {
        board: shared.board.clone(),
        targets: latest.targets.1.clone(),
        newest: Arc::new(move || in_newest.newest()),
    }));

    // Telemetry: a full queue makes senders come again.
    let (telemetry_tx, telemetry_rx) = weighted::<Telemetry>(config.receive.queue_items_max);
    // Alerts: a full queue answers 503 and Alertmanager retries.
    let (delivery_tx, delivery_rx) = mpsc::channel::<AlertDelivery>(DELIVERIES);
    // Frames: each consumer sees each one, in order.
    let (frame_tx, frame_rx) = mpsc::channel::<Arc<Frame>>(FRAMES);
    let (to_disk, disk_frames) = mpsc::channel(FRAMES);
    let (to_model, model_frames) = mpsc::channel(FRAMES);
    let (to_diagnose, diagnose_frames) = mpsc::channel(FRAMES);
    let (to_graph, graph_frames) = mpsc::channel(FRAMES);
    let (to_act, act_frames) = mpsc::channel(FRAMES);
    // News about diagnoses.
    let (changed_tx, changed_rx) = mpsc::channel::<Diagnosis>(NEWS);
    let (diagnosed_tx, diagnosed_rx) = mpsc::channel::<Diagnosis>(NEWS);
    let (to_grafana, grafana_rx) = mpsc::channel::<String>(NEWS);
    // Questions from the API.
    let (train_tx, train_rx) = mpsc::channel(QUESTIONS);
    let (reload_tx, reloads) = mpsc::channel(QUESTIONS);
    let (wish_tx, wishes) = mpsc::channel(QUESTIONS);

    let earlier = shared.history.all();
    let windower = Windower::new(&config.window, metrics.window)
        .resume_after(earlier.iter().map(|frame| &**frame));
    let outputs = Outputs {
        history: shared.history.clone(),
        frames: frame_tx,
        progress: latest.progress.0,
        horizon_ms: shared.horizon_ms.clone(),
    };
    let training = model_inputs(config, model_frames, train_rx, &shared, &latest.targets.1);
    let surroundings = diagnose::Surroundings {
        deliveries: delivery_rx,
        frames: diagnose_frames,
        facts: facts(&shared.history, &latest.progress.1, &latest.model.1),
        journal: Box::new(DiskJournal(shared.disk.clone())),
        tell: Box::new(tell(shared.board.clone(), vec![changed_tx.clone(), diagnosed_tx])),
    };
    let acting = act::Surroundings {
        diagnoses: diagnosed_rx,
        frames: act_frames,
        wishes,
        keep: Box::new(keep_fixes(shared.disk.clone())),
        tell: Box::new(tell(shared.board.clone(), vec![changed_tx])),
        shown: latest.fixes.0,
        wall_ms,
    };
    let graph =
        follow_graph(graph_frames, shared.history.clone(), config.graph.clone(), latest.graph.0);
    let model = model::run(
        config.train.clone(),
        training,
        latest.model.0,
        metrics.model,
        model.as_ref().and_then(load_model),
    );
    let diagnoses = diagnose::run(
        config.diagnose.clone(),
        latest.targets.1.clone(),
        surroundings,
        metrics.diagnose,
        alerts,
    );
    let grafana = report::push_to_grafana(
        config.grafana.clone(),
        token,
        grafana_rx,
        shared.board.clone(),
        pushed(annotations),
        remember(shared.disk.clone()),
        metrics.report.clone(),
    );
    let news = post_news(changed_rx, shared.disk.clone(), to_grafana, metrics.report);
    let fan_out = fan_out(frame_rx, vec![to_disk, to_model, to_diagnose, to_graph, to_act]);
    let tasks = vec![
        ("windows", tokio::spawn(window::run(windower, telemetry_rx, pressure.clone(), outputs))),
        ("fan-out", tokio::spawn(fan_out)),
        ("frames to disk", tokio::spawn(write_frames(disk_frames, shared.disk.clone()))),
        ("graph", tokio::spawn(graph)),
        ("model", tokio::spawn(model)),
        ("diagnoses", tokio::spawn(diagnoses)),
        ("fixes", tokio::spawn(act::run(config.act.clone(), acting, metrics.act, fixed))),
        ("news", tokio::spawn(news)),
        ("grafana", tokio::spawn(grafana)),
        ("database", tokio::task::spawn_blocking(|| end_of(store))),
    ];

    let intake = receive::Intake {
        config: Arc::new(config.receive.clone()),
        budget: receive::Budget::new(
            config.receive.bytes_in_flight_max,
            metrics.receive.bytes_in_flight.clone(),
        ),
        known: Arc::new(receive::KnownSeries::new(
            config.receive.known_bytes_max,
            &metrics.receive,
        )),
        metrics: metrics.receive,
        pressure: pressure.clone(),
        telemetry: telemetry_tx,
        alerts: delivery_tx,
        wanted: Arc::new(config.window.wanted_metrics().into_iter().collect()),
        horizon_ms: shared.horizon_ms.clone(),
        wall_ms,
    };
    let relieve = relieve(&intake.known, &shared.history);
    let (is_serving, serving) = watch::channel(false);
    let (history, in_history) = (shared.history.clone(), shared.history.clone());
    let (model_rx, progress_rx) = (latest.model.1, latest.progress.1);
    let views = Views {
        board: shared.board,
        frames: Arc::new(move |range| history.overlapping(range)),
        graph: latest.graph.1,
        model: Arc::new(move || model_rx.borrow().view()),
        progress: Arc::new(move || progress_view(&progress_rx.borrow(), in_history.len())),
        targets: latest.targets.1,
        fixes: latest.fixes.1,
        wishes: wish_tx,
        train: train_tx,
        reload: reload_tx.clone(),
        exposition: Exposition::new(metrics.registry),
        unready: unready(&shared.is_ready, &pressure),
    };
    Ok(Pipeline {
        listen: metrics.listen,
        is_serving,
        otlp_grpc: receive::grpc_router(intake.clone(), serving),
        otlp_http: receive::http_router(intake.clone()),
        http: report::router(
            views,
            receive::remote_write_router(intake.clone()).merge(receive::webhook_router(intake)),
        ),
        tasks,
        is_ready: shared.is_ready,
        pressure,
        limits: *limits,
        relieve,
        memory: metrics.memory,
        reload: reload_tx,
        reloads,
        targets: latest.targets.0,
    })
}

/// Lowers what does not fit in the memory that the process may take.
fn within_budget(
    config: &Config,
    metrics: &memory::Metrics,
) -> Result<(Config, memory::Limits, u64), Error> {
    let Some(budget) = memory::find(&config.memory) else {
        let limits = memory::Limits::new(u64::MAX, &config.memory);
        return Ok((config.clone(), limits, DIAGNOSES_BYTES));
    };
    // What is configured was checked with the rest of the configuration.
    let memory::Budget { bytes, source } = budget;
    if bytes < memory::BUDGET_MIN {
        return Err(Error::Memory { bytes, min: memory::BUDGET_MIN, source_of_limit: source });
    }
    let limits = memory::Limits::new(budget.bytes, &config.memory);
    let split = split(config, limits.soft);
    metrics.show(budget, &limits, &split.parts);
    tracing::info!(bytes = budget.bytes, source = budget.source, "memory budget");
    for Lowered { key, from, to } in &split.lowered {
        tracing::info!(key, from, to, "lowered to fit the memory budget");
    }
    Ok((split.config, limits, split.diagnoses))
}

fn model_inputs(
    config: &Config,
    frames: mpsc::Receiver<Arc<Frame>>,
    requests: mpsc::Receiver<oneshot::Sender<bool>>,
    shared: &Shared,
    targets: &watch::Receiver<Vec<QosTarget>>,
) -> model::Inputs {
    let (history, disk) = (shared.history.clone(), shared.disk.clone());
    let (targets, wanted) = (targets.clone(), targets.clone());
    model::Inputs {
        frames,
        history: Box::new(move || history.all()),
        met: Arc::new(move |frames| diagnose::met_all(frames, &targets.borrow())),
        targets: Box::new(move || wanted.borrow().clone()),
        graph: config.graph.clone(),
        requests,
        save: Arc::new(move |saved| {
            if let Err(error) = disk.model_blocking(saved) {
                tracing::error!(%error, "the model is not on disk");
            }
        }),
    }
}

/// Waits for a thread, and fails as it failed.
fn end_of(thread: std::thread::JoinHandle<()>) {
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
