//! Alerts in, diagnoses out. Journals first, answers the sender, then thinks; one diagnosis at a
//! time, on a thread that may compute.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::book::{Book, Delivery, Incident};
use super::config::Config;
use super::metrics::Metrics;
use super::verdict::{Question, Verdict, diagnose};
use crate::data::{
    Alert, AlertKey, Diagnosis, DiagnosisState, DiagnosisUpdate, EventTime, Frame, ModelRef,
    Outcome, QosTarget,
};
use crate::delivery::AlertDelivery;
use crate::graph::Mechanism;

/// Diagnoses that may wait. Beyond it the one waiting longest is left at `running` until a new
/// interval brings it up again.
const WAITING_MAX: usize = 1000;

/// What a diagnosis is made from at the moment it is made.
pub struct Facts {
    /// Closed frames, oldest first.
    pub history: Vec<Arc<Frame>>,
    /// How far event time has come.
    pub watermark: Option<EventTime>,
    /// The model in use.
    pub mechanism: Option<(Arc<dyn Mechanism>, ModelRef)>,
}

/// The task's surroundings.
pub struct Surroundings {
    /// Deliveries of the webhook.
    pub deliveries: mpsc::Receiver<AlertDelivery>,
    /// Told of every closed frame.
    pub frames: mpsc::Receiver<Arc<Frame>>,
    /// Reads the facts.
    pub facts: Arc<dyn Fn() -> Facts + Send + Sync>,
    /// Writes alerts to disk.
    pub journal: Box<dyn Journal>,
    /// Takes diagnoses as they begin, end and are closed.
    pub updates: mpsc::Sender<DiagnosisUpdate>,
}

/// Makes alerts safe.
pub trait Journal: Send + Sync {
    /// Returns once the alerts are on disk, or says why they are not.
    fn write(
        &self,
        alerts: Vec<(String, Alert)>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

/// Runs until the webhook is gone. `restored`: alerts of the last run and their diagnoses.
pub async fn run(
    config: Config,
    targets: watch::Receiver<Vec<QosTarget>>,
    mut around: Surroundings,
    metrics: Metrics,
    restored: Vec<(Alert, Option<Diagnosis>)>,
) {
    let outcomes = restored.iter().map(|(a, d)| (a.clone(), d.as_ref().and_then(|d| d.outcome)));
    let mut book = Book::new(config.keep, outcomes);
    // What the last run accepted but did not answer is answered now.
    let unanswered = restored
        .into_iter()
        .filter(|(_, d)| d.as_ref().is_none_or(|d| d.state == DiagnosisState::Running));
    let mut waiting: VecDeque<AlertKey> = unanswered.map(|(a, _)| a.key).collect();
    let (answer_tx, mut answers) = mpsc::channel::<(AlertKey, Diagnosis)>(1);
    let mut busy = false;
    let config = Arc::new(config);
    let mut frames_open = true;
    loop {
        if !busy && let Some(key) = waiting.pop_front() {
            if let Some(incident) = book.get(&key) {
                busy = true;
                let (config, targets) = (config.clone(), targets.borrow().clone());
                spawn(incident.clone(), config, targets, around.facts.clone(), answer_tx.clone());
            }
            continue;
        }
        tokio::select! {
            delivered = around.deliveries.recv() => {
                let Some(AlertDelivery { alerts, journalled }) = delivered else { break };
                let result = accept(&mut book, &alerts, &around, &metrics, &mut waiting).await;
                // The sender may have given up waiting; the alerts are safe either way.
                drop(journalled.send(result));
            }
            frame = around.frames.recv(), if frames_open => match frame {
                None => frames_open = false,
                Some(frame) => {
                    for key in book.unsettled(frame.interval.end, &config) {
                        enqueue(&mut waiting, key);
                    }
                }
            },
            Some((key, diagnosis)) = answers.recv() => {
                busy = false;
                book.settle(&key, diagnosis.outcome);
                metrics.count(&diagnosis);
                publish(&around, DiagnosisUpdate::Changed(Box::new(diagnosis))).await;
            }
        }
        metrics.waiting.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
    }
}

fn enqueue(waiting: &mut VecDeque<AlertKey>, key: AlertKey) {
    if !waiting.contains(&key) {
        waiting.push_back(key);
    }
    if waiting.len() > WAITING_MAX {
        waiting.pop_front();
    }
}

/// Journals a delivery and queues what is new. Returns the ids once everything is on disk.
async fn accept(
    book: &mut Book,
    alerts: &[Alert],
    around: &Surroundings,
    metrics: &Metrics,
    waiting: &mut VecDeque<AlertKey>,
) -> Result<Vec<String>, String> {
    let delivery: Delivery = book.plan(alerts);
    if !delivery.journal.is_empty() {
        around.journal.write(delivery.journal.clone()).await?;
    }
    book.apply(&delivery);
    metrics.duplicates.inc_by((alerts.len() - delivery.journal.len()) as u64);
    for incident in delivery.new.iter().filter_map(|key| book.get(key)) {
        enqueue(waiting, incident.alert.key.clone());
        publish(around, DiagnosisUpdate::Changed(Box::new(begun(incident)))).await;
    }
    for incident in delivery.resolved.iter().filter_map(|key| book.get(key)) {
        // A cause that is known stays; an open question gets its last chance.
        if incident.outcome != Some(Outcome::RootCause) {
            enqueue(waiting, incident.alert.key.clone());
        }
        let (id, alert) = (incident.id.clone(), Box::new(incident.alert.clone()));
        publish(around, DiagnosisUpdate::Resolved { id, alert }).await;
    }
    Ok(delivery.ids)
}

async fn publish(around: &Surroundings, update: DiagnosisUpdate) {
    // Only a stopping program has nobody to tell.
    drop(around.updates.send(update).await);
}

/// The diagnosis of an incident that has not been thought about yet.
fn begun(incident: &Incident) -> Diagnosis {
    Diagnosis {
        id: incident.id.clone(),
        state: DiagnosisState::Running,
        outcome: None,
        alert: incident.alert.clone(),
        interval: None,
        qos: None,
        root_causes: Vec::new(),
        services: Vec::new(),
        path: Vec::new(),
        robust_baseline: Vec::new(),
        graph_completeness: 0.0,
        model: None,
        took_ms: 0.0,
        text: String::new(),
        error: None,
        notes: Default::default(),
    }
}

fn spawn(
    incident: Incident,
    config: Arc<Config>,
    targets: Vec<QosTarget>,
    facts: Arc<dyn Fn() -> Facts + Send + Sync>,
    answer: mpsc::Sender<(AlertKey, Diagnosis)>,
) {
    tokio::spawn(async move {
        let pending = begun(&incident);
        let work = tokio::task::spawn_blocking(move || {
            let mut diagnosis = begun(&incident);
            let start = clock();
            let facts = facts();
            let question = Question {
                alert: &incident.alert,
                history: &facts.history,
                watermark: facts.watermark,
                targets: &targets,
                mechanism: facts.mechanism.as_ref().map(|(m, _)| &**m),
                config: &config,
            };
            fill(&mut diagnosis, diagnose(&question));
            diagnosis.model = facts.mechanism.map(|(_, reference)| reference);
            diagnosis.took_ms = start.elapsed().as_secs_f64() * 1000.0;
            diagnosis
        });
        let diagnosis = work.await.unwrap_or_else(|panic| Diagnosis {
            state: DiagnosisState::Failed,
            error: Some(format!("internal error, please report: {panic}")),
            ..pending
        });
        // The task is gone when the program stops; the alert is journalled.
        drop(answer.send((diagnosis.alert.key.clone(), diagnosis)).await);
    });
}

fn fill(diagnosis: &mut Diagnosis, verdict: Verdict) {
    diagnosis.state = DiagnosisState::Done;
    diagnosis.outcome = verdict.outcome;
    diagnosis.interval = verdict.interval;
    diagnosis.qos = verdict.qos;
    diagnosis.root_causes = verdict.root_causes;
    diagnosis.services = verdict.services;
    diagnosis.path = verdict.path;
    diagnosis.robust_baseline = verdict.robust_baseline;
    diagnosis.graph_completeness = verdict.graph_completeness;
    diagnosis.notes = verdict.notes;
}

#[allow(clippy::disallowed_methods, reason = "how long a diagnosis took is wall-clock time")]
fn clock() -> Instant {
    Instant::now()
}
