//! Alerts in, diagnoses out. Journals first, answers the sender, then thinks; one diagnosis at a
//! time, on a thread that may compute.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::book::{Book, Cause, Delivery, Incident};
use super::config::Config;
use super::metrics::Metrics;
use super::verdict::{Question, Verdict, diagnose};
use crate::data::{
    Alert, AlertKey, AlertStatus, Diagnosis, DiagnosisState, DiagnosisUpdate, EventTime, Frame,
    ModelRef, QosTarget,
};
use crate::delivery::AlertDelivery;
use crate::graph::Mechanism;

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
    /// Hears of diagnoses as they begin, end and are closed. Once it returns, whoever asks for the
    /// diagnosis finds it as told.
    pub tell: Box<dyn Fn(DiagnosisUpdate) -> Told + Send + Sync>,
}

type Told = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes alerts safe.
pub trait Journal: Send + Sync {
    /// Returns once the alerts are on disk, or says why they are not.
    fn write(
        &self,
        alerts: Vec<(String, Alert)>,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

/// Alerts whose turn comes. A second look waits for every first one.
#[derive(Default)]
struct Waiting {
    new: VecDeque<AlertKey>,
    again: VecDeque<AlertKey>,
}

impl Waiting {
    fn look_again(&mut self, key: AlertKey) {
        if !self.new.contains(&key) && !self.again.contains(&key) {
            self.again.push_back(key);
        }
    }

    fn next(&mut self) -> Option<AlertKey> {
        self.new.pop_front().or_else(|| self.again.pop_front())
    }

    /// Leaves out what the book has forgotten, and so is bounded as the book is.
    fn follow(&mut self, book: &Book) {
        self.new.retain(|key| book.get(key).is_some());
        self.again.retain(|key| book.get(key).is_some());
    }

    fn len(&self) -> usize {
        self.new.len() + self.again.len()
    }
}

/// Runs until the webhook is gone. `restored`: alerts of the last run and their diagnoses.
pub async fn run(
    config: Config,
    targets: watch::Receiver<Vec<QosTarget>>,
    mut around: Surroundings,
    metrics: Metrics,
    restored: Vec<(Alert, Option<Diagnosis>)>,
) {
    let cause = |d: &Option<Diagnosis>| d.as_ref().map(Cause::of).unwrap_or_default();
    let mut book = Book::new(config.keep, restored.iter().map(|(a, d)| (a.clone(), cause(d))));
    let mut waiting = take_up(restored, &book, &around).await;
    let (answer_tx, mut answers) = mpsc::channel::<(AlertKey, Diagnosis)>(1);
    let mut busy = false;
    let config = Arc::new(config);
    let mut frames_open = true;
    loop {
        if !busy && let Some(key) = waiting.next() {
            if let Some(incident) = book.get(&key) {
                busy = true;
                let (config, targets) = (config.clone(), targets.borrow().clone());
                let asked = (incident.clone(), book.last_ended(&key));
                spawn(asked, config, targets, around.facts.clone(), answer_tx.clone());
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
                        waiting.look_again(key);
                    }
                }
            },
            Some((key, diagnosis)) = answers.recv() => {
                busy = false;
                metrics.count(&diagnosis);
                if book.settle(&key, Cause::of(&diagnosis)) {
                    (around.tell)(DiagnosisUpdate::Changed(Box::new(diagnosis))).await;
                }
            }
        }
        metrics.waiting.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
    }
}

/// Goes on where the last run was torn from its work: what it accepted but did not answer is
/// answered now, and a resolve that it journalled but did not make known is made known.
async fn take_up(
    restored: Vec<(Alert, Option<Diagnosis>)>,
    book: &Book,
    around: &Surroundings,
) -> Waiting {
    let mut waiting = Waiting::default();
    for (alert, diagnosis) in restored {
        match diagnosis {
            Some(d) if d.state != DiagnosisState::Running => {
                if alert.status == AlertStatus::Resolved && d.alert.status == AlertStatus::Firing {
                    let cause = Cause::of(&d);
                    close(d.id, alert, cause, &mut waiting, around).await;
                }
            }
            _ => begin(&alert.key, book, &mut waiting, around).await,
        }
    }
    waiting
}

/// Makes known that an alert is being looked into.
async fn begin(key: &AlertKey, book: &Book, waiting: &mut Waiting, around: &Surroundings) {
    let Some(incident) = book.get(key) else { return };
    waiting.new.push_back(key.clone());
    (around.tell)(DiagnosisUpdate::Changed(Box::new(begun(incident)))).await;
}

/// Makes a resolve known. A cause that is known stays; an open question gets its last chance.
async fn close(
    id: String,
    alert: Alert,
    cause: Cause,
    waiting: &mut Waiting,
    around: &Surroundings,
) {
    if cause == Cause::Unknown {
        waiting.look_again(alert.key.clone());
    }
    (around.tell)(DiagnosisUpdate::Resolved { id, alert: Box::new(alert) }).await;
}

/// Journals a delivery and queues what is new. Returns the ids once everything is on disk.
async fn accept(
    book: &mut Book,
    alerts: &[Alert],
    around: &Surroundings,
    metrics: &Metrics,
    waiting: &mut Waiting,
) -> Result<Vec<String>, String> {
    let delivery: Delivery = book.plan(alerts).map_err(|e| e.to_string())?;
    if !delivery.journal.is_empty() {
        around.journal.write(delivery.journal.clone()).await?;
    }
    book.apply(&delivery);
    waiting.follow(book);
    metrics.duplicates.inc_by(alerts.len().saturating_sub(delivery.journal.len()) as u64);
    for key in &delivery.new {
        begin(key, book, waiting, around).await;
    }
    for incident in delivery.resolved.iter().filter_map(|key| book.get(key)) {
        let (id, alert) = (incident.id.clone(), incident.alert.clone());
        close(id, alert, incident.cause, waiting, around).await;
    }
    Ok(delivery.ids)
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
    (incident, last_ended): (Incident, Option<EventTime>),
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
                last_ended,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Outcome, QosObservation};
    use crate::observe::Registry;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    fn alert(fingerprint: &str, status: AlertStatus) -> Alert {
        Alert {
            key: AlertKey { fingerprint: fingerprint.into(), starts_at: EventTime(0) },
            status,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            ends_at: None,
        }
    }

    fn done(alert: Alert) -> Diagnosis {
        let id = alert.key.fingerprint.clone();
        let outcome = Some(Outcome::RootCause);
        let cause = Cause::Whole;
        Diagnosis { state: DiagnosisState::Done, outcome, ..begun(&Incident { id, alert, cause }) }
    }

    struct NoJournal;

    impl Journal for NoJournal {
        fn write(
            &self,
            _: Vec<(String, Alert)>,
        ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
            Box::pin(async { Ok(()) })
        }
    }

    /// It was answered 200 and journalled, and then the program was killed.
    #[tokio::test]
    async fn a_resolve_that_was_not_made_known_is_made_known_at_the_next_start() {
        let (firing, resolved) = (AlertStatus::Firing, AlertStatus::Resolved);
        let restored = vec![
            (alert("torn", resolved), Some(done(alert("torn", firing)))),
            (alert("open", firing), Some(done(alert("open", firing)))),
            (alert("closed", resolved), Some(done(alert("closed", resolved)))),
        ];
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let around = Surroundings {
            deliveries: mpsc::channel(1).1,
            frames: mpsc::channel(1).1,
            facts: Arc::new(|| Facts { history: Vec::new(), watermark: None, mechanism: None }),
            journal: Box::new(NoJournal),
            tell: Box::new(move |update| {
                heard.lock().unwrap().push(update);
                Box::pin(async {})
            }),
        };
        let metrics = Metrics::register(&mut Registry::default());
        let targets = watch::channel(Vec::new()).1;
        run(Config::default(), targets, around, metrics, restored).await;
        let told = told.lock().unwrap();
        assert!(
            matches!(&told[..], [DiagnosisUpdate::Resolved { id, .. }] if id == "torn"),
            "{told:?}"
        );
    }

    /// The next interval may miss the target, and its cause be another.
    #[test]
    fn what_was_found_without_a_violation_may_give_way() {
        let found = |observed_ms| {
            let service = "a".into();
            let qos = QosObservation { service, quantile: 0.99, target_ms: 10.0, observed_ms };
            Diagnosis { qos: Some(qos), ..done(alert("a", AlertStatus::Firing)) }
        };
        assert_eq!(Cause::of(&found(10.1)), Cause::Whole);
        assert!(matches!(Cause::of(&found(9.9)), Cause::Partial { looks: 1.. }));
    }

    #[test]
    fn a_second_look_waits_for_every_first_one() {
        let key = |name: &str| alert(name, AlertStatus::Firing).key;
        let mut waiting = Waiting::default();
        waiting.look_again(key("old"));
        waiting.new.push_back(key("first"));
        waiting.new.push_back(key("second"));
        waiting.look_again(key("first"));
        let order: Vec<String> =
            std::iter::from_fn(|| waiting.next()).map(|k| k.fingerprint).collect();
        assert_eq!(order, ["first", "second", "old"]);
    }
}
