//! The pipeline as code: every channel and every task once, left to right. No policy here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::error::StartError;
use crate::config::Config;
use crate::data::{
    Alert, Diagnosis, DiagnosisUpdate, EventTime, Frame, ModelRef, QosTarget, SavedModel, Telemetry,
};
use crate::delivery::AlertDelivery;
use crate::graph::{Mechanism, RpcGraph};
use crate::model::{Model, Status};
use crate::observe::{Exposition, ProcessCollector, Registry};
use crate::queue::weighted;
use crate::report::{Board, Views};
use crate::store::Handle;
use crate::window::{History, Outputs, Progress, Windower};
use crate::{diagnose, model, receive, report, store, window};

/// Deliveries of the webhook that may wait for the journal. A full queue answers 503.
const DELIVERIES: usize = 256;
/// Frames that may wait for one consumer. A full queue holds up the windows, and they the senders.
const FRAMES: usize = 64;
/// News about diagnoses that may wait for one consumer.
const NEWS: usize = 1024;

/// A built pipeline: routers to serve and tasks that run.
pub(super) struct Pipeline {
    pub(super) http: Router,
    pub(super) otlp_grpc: Router,
    pub(super) otlp_http: Router,
    /// In the order in which they end once the listeners are gone.
    pub(super) tasks: Vec<(&'static str, JoinHandle<()>)>,
    pub(super) store: std::thread::JoinHandle<()>,
    pub(super) is_ready: Arc<AtomicBool>,
    pub(super) reloads: mpsc::Receiver<oneshot::Sender<Result<String, String>>>,
    pub(super) targets: watch::Sender<Vec<QosTarget>>,
}

/// What every stage counts.
struct Metrics {
    receive: receive::Metrics,
    window: window::Metrics,
    model: model::Metrics,
    diagnose: diagnose::Metrics,
    report: report::Metrics,
    store: store::Metrics,
    exposition: Exposition,
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector));
        Self {
            receive: receive::Metrics::register(&mut registry),
            window: window::Metrics::register(&mut registry),
            model: model::Metrics::register(&mut registry),
            diagnose: diagnose::Metrics::register(&mut registry),
            report: report::Metrics::register(&mut registry),
            store: store::Metrics::register(&mut registry),
            exposition: Exposition::new(registry),
        }
    }
}

/// Builds and starts everything but the listeners.
pub(super) fn build(config: &Config) -> Result<Pipeline, StartError> {
    let metrics = Metrics::new();
    let token = config.grafana.read_token().map_err(StartError::Token)?;
    let (disk, restored, store) = store::open(
        &config.data.dir,
        config.window.history,
        config.diagnose.keep,
        metrics.store.clone(),
    )?;

    let history = History::new(config.window.history);
    let horizon = restored.frames.last().map(|f| f.interval.end);
    for frame in restored.frames {
        history.push(Arc::new(frame));
    }
    let restored_model = restored.model.as_ref().and_then(load_model);
    let alerts = pair_up(restored.alerts, &restored.diagnoses);
    let board = Board::new(config.diagnose.keep, restored.diagnoses);

    // Telemetry: a full queue makes senders come again.
    let (telemetry_tx, telemetry_rx) = weighted::<Telemetry>(config.receive.queue_items_max);
    let (delivery_tx, delivery_rx) = mpsc::channel::<AlertDelivery>(DELIVERIES);
    // Frames: each consumer sees each one, in order.
    let (frame_tx, frame_rx) = mpsc::channel::<Arc<Frame>>(FRAMES);
    let (to_disk, disk_frames) = mpsc::channel(FRAMES);
    let (to_model, model_frames) = mpsc::channel(FRAMES);
    let (to_diagnose, diagnose_frames) = mpsc::channel(FRAMES);
    let (to_graph, graph_frames) = mpsc::channel(FRAMES);
    // News about diagnoses.
    let (update_tx, update_rx) = mpsc::channel::<DiagnosisUpdate>(NEWS);
    let (to_grafana, grafana_rx) = mpsc::channel::<Diagnosis>(NEWS);
    // Questions from the API.
    let (train_tx, train_rx) = mpsc::channel(4);
    let (reload_tx, reloads) = mpsc::channel(4);
    // Only the newest matters.
    let (progress_tx, progress_rx) = watch::channel(Progress::default());
    let (model_tx, model_rx) = watch::channel(Status::default());
    let (graph_tx, graph_rx) = watch::channel(learn_graph(&history, &config.graph));
    let (targets_tx, targets_rx) = watch::channel(config.qos.clone());
    let horizon_ms = Arc::new(AtomicI64::new(horizon.map_or(i64::MIN, |h| h.0)));
    let is_ready = Arc::new(AtomicBool::new(false));

    let mut windower = Windower::new(&config.window, metrics.window.clone());
    if let Some(horizon) = horizon {
        windower = windower.resume_at(horizon);
    }
    let outputs = Outputs {
        history: history.clone(),
        frames: frame_tx,
        progress: progress_tx,
        horizon_ms: horizon_ms.clone(),
    };
    let tasks = vec![
        ("windows", tokio::spawn(window::run(windower, telemetry_rx, outputs))),
        (
            "fan-out",
            tokio::spawn(fan_out(frame_rx, vec![to_disk, to_model, to_diagnose, to_graph])),
        ),
        ("frames to disk", tokio::spawn(write_frames(disk_frames, disk.clone()))),
        (
            "graph",
            tokio::spawn(follow_graph(
                graph_frames,
                history.clone(),
                config.graph.clone(),
                graph_tx,
            )),
        ),
        (
            "model",
            tokio::spawn(model::run(
                config.train.clone(),
                model_inputs(config, model_frames, train_rx, &history, &targets_rx, &disk),
                model_tx,
                metrics.model,
                restored_model,
            )),
        ),
        (
            "diagnoses",
            tokio::spawn(diagnose::run(
                config.diagnose.clone(),
                targets_rx.clone(),
                diagnose::Surroundings {
                    deliveries: delivery_rx,
                    frames: diagnose_frames,
                    facts: facts(&history, &progress_rx, &model_rx),
                    journal: Box::new(DiskJournal(disk.clone())),
                    updates: update_tx,
                },
                metrics.diagnose,
                alerts,
            )),
        ),
        ("board", tokio::spawn(post_news(update_rx, board.clone(), disk.clone(), to_grafana))),
        (
            "grafana",
            tokio::spawn(report::push_to_grafana(
                config.grafana.clone(),
                token,
                grafana_rx,
                restored.annotations.into_iter().collect::<HashMap<_, _>>(),
                remember(disk),
                metrics.report,
            )),
        ),
    ];

    let intake = receive::Intake {
        config: Arc::new(config.receive.clone()),
        metrics: metrics.receive,
        telemetry: telemetry_tx,
        alerts: delivery_tx,
        wanted: Arc::new(config.window.wanted_metrics()),
        horizon_ms,
        wall_ms,
    };
    let in_history = history.clone();
    let views = Views {
        board,
        frames: Arc::new(move |range| history.overlapping(range)),
        graph: graph_rx,
        model: Arc::new(move || model_rx.borrow().view()),
        progress: Arc::new(move || progress_view(&progress_rx.borrow(), in_history.len())),
        targets: targets_rx,
        train: train_tx,
        reload: reload_tx,
        exposition: metrics.exposition,
        is_ready: is_ready.clone(),
    };
    Ok(Pipeline {
        otlp_grpc: receive::grpc_router(intake.clone()),
        otlp_http: receive::http_router(intake.clone()),
        http: report::router(views)
            .merge(receive::remote_write_router(intake.clone()))
            .merge(receive::webhook_router(intake)),
        tasks,
        store,
        is_ready,
        reloads,
        targets: targets_tx,
    })
}

#[allow(clippy::disallowed_methods, reason = "the guard against the future needs the wall clock")]
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn load_model(saved: &SavedModel) -> Option<Arc<Model>> {
    match Model::load(saved) {
        Ok(model) => Some(Arc::new(model)),
        Err(error) => {
            tracing::warn!(%error, "the saved model is not used; a new one will be trained");
            None
        }
    }
}

fn pair_up(alerts: Vec<Alert>, diagnoses: &[Diagnosis]) -> Vec<(Alert, Option<Diagnosis>)> {
    let of = |alert: &Alert| diagnoses.iter().find(|d| d.alert.key == alert.key).cloned();
    alerts.into_iter().map(|a| (a.clone(), of(&a))).collect()
}

fn learn_graph(history: &History, config: &crate::graph::Config) -> Arc<RpcGraph> {
    let frames = history.all();
    Arc::new(RpcGraph::learn(frames.iter().map(|f| &**f), config))
}

/// Hands each frame to every consumer. A consumer that has ended is left out.
async fn fan_out(mut frames: mpsc::Receiver<Arc<Frame>>, consumers: Vec<mpsc::Sender<Arc<Frame>>>) {
    while let Some(frame) = frames.recv().await {
        for consumer in &consumers {
            drop(consumer.send(frame.clone()).await);
        }
    }
}

async fn write_frames(mut frames: mpsc::Receiver<Arc<Frame>>, disk: Handle) {
    while let Some(frame) = frames.recv().await {
        if let Err(error) = disk.frame(frame).await {
            tracing::error!(%error, "a frame is not on disk");
        }
    }
}

async fn follow_graph(
    mut frames: mpsc::Receiver<Arc<Frame>>,
    history: History,
    config: crate::graph::Config,
    graph: watch::Sender<Arc<RpcGraph>>,
) {
    while frames.recv().await.is_some() {
        graph.send_replace(learn_graph(&history, &config));
    }
}

fn model_inputs(
    config: &Config,
    frames: mpsc::Receiver<Arc<Frame>>,
    requests: mpsc::Receiver<oneshot::Sender<bool>>,
    history: &History,
    targets: &watch::Receiver<Vec<QosTarget>>,
    disk: &Handle,
) -> model::Inputs {
    let (history, targets, disk) = (history.clone(), targets.clone(), disk.clone());
    model::Inputs {
        frames,
        history: Box::new(move || history.all()),
        met: Arc::new(move |frames| diagnose::met_all(frames, &targets.borrow())),
        graph: config.graph.clone(),
        requests,
        save: Arc::new(move |saved| {
            if let Err(error) = disk.model_blocking(saved) {
                tracing::error!(%error, "the model is not on disk");
            }
        }),
    }
}

fn facts(
    history: &History,
    progress: &watch::Receiver<Progress>,
    model: &watch::Receiver<Status>,
) -> Arc<dyn Fn() -> diagnose::Facts + Send + Sync> {
    let (history, progress, model) = (history.clone(), progress.clone(), model.clone());
    Arc::new(move || {
        let in_use = model.borrow().model.clone();
        diagnose::Facts {
            history: history.all(),
            watermark: progress.borrow().watermark,
            mechanism: in_use.map(|m| {
                let reference = ModelRef {
                    id: m.id.clone(),
                    trained_at: m.trained_at,
                    r2: crate::graph::Mechanism::quality(&*m).r2,
                };
                (m as Arc<dyn Mechanism>, reference)
            }),
        }
    })
}

struct DiskJournal(Handle);

impl diagnose::Journal for DiskJournal {
    fn write(
        &self,
        alerts: Vec<(String, Alert)>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(self.0.alerts(alerts))
    }
}

/// Puts news on the board, on disk and on the way to Grafana.
async fn post_news(
    mut updates: mpsc::Receiver<DiagnosisUpdate>,
    board: Board,
    disk: Handle,
    grafana: mpsc::Sender<Diagnosis>,
) {
    while let Some(update) = updates.recv().await {
        let Some(diagnosis) = board.apply(update) else { continue };
        if let Err(error) = disk.diagnosis(diagnosis.clone()).await {
            tracing::error!(%error, "a diagnosis is not on disk");
        }
        if let Some(outcome) = diagnosis.outcome {
            tracing::info!(id = diagnosis.id, ?outcome, text = diagnosis.text, "diagnosis");
        }
        // Grafana's task coalesces, so this is full only while it is stopping.
        drop(grafana.try_send(diagnosis));
    }
}

fn remember(disk: Handle) -> Box<dyn Fn(&str, i64) + Send + Sync> {
    Box::new(move |id, number| {
        let (disk, id) = (disk.clone(), id.to_string());
        tokio::spawn(async move {
            if let Err(error) = disk.annotation(&id, number).await {
                tracing::error!(%error, "an annotation id is not on disk");
            }
        });
    })
}

fn progress_view(progress: &Progress, history: usize) -> report::Progress {
    report::Progress {
        watermark: progress.watermark,
        horizon: progress.horizon.filter(|h| *h > EventTime(i64::MIN)),
        open_intervals: progress.open,
        closed_intervals: progress.closed,
        history,
    }
}
