//! The loop: events in, commands out, everything on disk before anything is asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::book::Book;
use super::client::Helpers;
use super::config::Config;
use super::event::{Command, Event, Word};
use super::exec::perform;
use super::metrics::Metrics;
use super::propose::{fix_id, sentence};
use super::survey::{Question, survey};
use crate::data::{
    AlertStatus, Diagnosis, DiagnosisState, DiagnosisUpdate, EventTime, FixProblem, FixRecord,
    FixState, FixWish, Frame, Outcome,
};

/// Culprits of one diagnosis that are planned for.
const CULPRITS_MAX: usize = 4;
/// Plans under way. One more is left out and counted; the next interval asks again.
const PLANS_MAX: usize = 16;
/// Diagnoses that are planned for again while nothing can be done about them.
const OPEN_MAX: usize = 256;
/// Ends of commands and plans that may wait. Their senders wait when it is full.
const WORDS: usize = 64;

/// A future that may move between threads.
type Done<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An operator's wish, and the way back.
pub type Wish = (String, FixWish, oneshot::Sender<Result<FixRecord, FixProblem>>);

/// The task's surroundings.
pub struct Surroundings {
    /// Diagnoses that are new, have changed or whose alert has ended.
    pub diagnoses: mpsc::Receiver<Diagnosis>,
    /// Closed frames. When they end, so does the task.
    pub frames: mpsc::Receiver<Arc<Frame>>,
    /// Wishes of operators.
    pub wishes: mpsc::Receiver<Wish>,
    /// Puts a fix on disk, or says why not.
    pub keep: Box<dyn Fn(FixRecord) -> Done<Result<(), String>> + Send + Sync>,
    /// Hears what is done about a diagnosis.
    pub tell: Box<dyn Fn(DiagnosisUpdate) -> Done<()> + Send + Sync>,
    /// All fixes as they stand, in order of arrival.
    pub shown: watch::Sender<Arc<Vec<FixRecord>>>,
    /// The wall clock, in milliseconds since the epoch.
    pub wall_ms: fn() -> i64,
}

/// What the last run left.
#[derive(Debug, Default)]
pub struct Restored {
    /// Fixes, in order of arrival.
    pub fixes: Vec<FixRecord>,
    /// Diagnoses.
    pub diagnoses: Vec<Diagnosis>,
    /// The newest closed frame.
    pub newest: Option<Arc<Frame>>,
}

struct Controller {
    config: Arc<Config>,
    book: Book,
    helpers: Helpers,
    metrics: Metrics,
    newest: Option<Arc<Frame>>,
    /// Diagnoses with a culprit whose alerts fire.
    open: BTreeMap<String, Diagnosis>,
    /// Fixes that are being planned, and whether their alert still fires.
    planning: BTreeMap<String, (String, bool)>,
    /// State of every fix when it was last told.
    told: BTreeMap<String, FixState>,
    ends: mpsc::Sender<Event>,
}

/// Runs until there are no more frames. Leases that are in force then are left to the next run, or to end.
pub async fn run(config: Config, mut around: Surroundings, metrics: Metrics, restored: Restored) {
    let (ends, mut ended) = mpsc::channel(WORDS);
    let helpers = Helpers::start(&config, &metrics);
    let mut ticks = interval(config.renew_every());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Restored { fixes, diagnoses, newest } = restored;
    let told = fixes.iter().map(|fix| (fix.id.clone(), fix.state)).collect();
    let mut c = Controller {
        book: Book::new(config.clone(), fixes, newest.clone()),
        config: Arc::new(config),
        helpers,
        metrics,
        newest,
        open: BTreeMap::new(),
        planning: BTreeMap::new(),
        told,
        ends,
    };
    c.metrics.stand(c.book.fixes());
    let now = EventTime((around.wall_ms)());
    let commands = c.book.take_up(now);
    c.settle(commands, &around).await;
    for diagnosis in diagnoses {
        c.consider(diagnosis, &around).await;
    }
    loop {
        let event = tokio::select! {
            frame = around.frames.recv() => match frame {
                None => return,
                Some(frame) => {
                    c.newest = Some(frame.clone());
                    Event::Frame(frame)
                }
            },
            Some(diagnosis) = around.diagnoses.recv() => {
                c.consider(diagnosis, &around).await;
                continue;
            }
            Some(wish) = around.wishes.recv() => {
                c.grant(wish, &around).await;
                continue;
            }
            Some(event) = ended.recv() => event,
            _ = ticks.tick() => Event::Tick,
        };
        c.take(event, &around).await;
    }
}

impl Controller {
    async fn take(&mut self, event: Event, around: &Surroundings) {
        let now = EventTime((around.wall_ms)());
        let is_frame = matches!(event, Event::Frame(_));
        let is_tick = matches!(event, Event::Tick);
        if let Event::Planned(fix) = &event
            && self.planning.remove(&fix.id).is_some_and(|(_, fires)| !fires)
        {
            return;
        }
        let commands = self.book.on(event, now);
        self.settle(commands, around).await;
        if is_frame {
            self.plan_again(around);
        }
        if is_tick {
            self.ping();
        }
    }

    /// What a diagnosis means for fixes.
    async fn consider(&mut self, diagnosis: Diagnosis, around: &Surroundings) {
        let id = diagnosis.id.clone();
        if diagnosis.alert.status == AlertStatus::Resolved {
            self.open.remove(&id);
            let its = self.planning.values_mut().filter(|(of, _)| *of == id);
            its.for_each(|(_, fires)| *fires = false);
            self.take(Event::Resolved { diagnosis: id }, around).await;
            return;
        }
        let is_answered = diagnosis.state == DiagnosisState::Done
            && diagnosis.outcome == Some(Outcome::RootCause);
        if self.config.is_idle() || !is_answered {
            return;
        }
        for at in 0..diagnosis.root_causes.len().min(CULPRITS_MAX) {
            if self.book.wants_plan(&fix_id(&id, &diagnosis.root_causes[at].service)) {
                self.plan(&diagnosis, at, around);
            }
        }
        self.open.insert(id, diagnosis);
        while self.open.len() > OPEN_MAX {
            self.open.pop_first();
        }
    }

    /// Where nothing could be done a helper may be back, or a replica have come.
    fn plan_again(&mut self, around: &Surroundings) {
        let open: Vec<Diagnosis> = self.open.values().cloned().collect();
        for diagnosis in open {
            for (at, cause) in diagnosis.root_causes.iter().enumerate().take(CULPRITS_MAX) {
                let fix = self.book.get(&fix_id(&diagnosis.id, &cause.service));
                let is_declined = fix.is_none_or(|f| f.state == FixState::Declined);
                if is_declined && cause.resource.is_some() {
                    self.plan(&diagnosis, at, around);
                }
            }
        }
    }

    fn plan(&mut self, diagnosis: &Diagnosis, cause: usize, around: &Surroundings) {
        let id = fix_id(&diagnosis.id, &diagnosis.root_causes[cause].service);
        if self.planning.contains_key(&id) {
            return;
        }
        if self.planning.len() >= PLANS_MAX {
            self.metrics.plans_dropped.inc();
            return;
        }
        self.planning.insert(id, (diagnosis.id.clone(), true));
        let question = Question {
            diagnosis: diagnosis.clone(),
            cause,
            newest: self.newest.clone(),
            now: EventTime((around.wall_ms)()),
        };
        let (config, helpers, ends) =
            (self.config.clone(), self.helpers.clone(), self.ends.clone());
        tokio::spawn(async move {
            let fix = survey(question, &config, &helpers).await;
            // Only a stopping sidecar has nobody to hear it.
            drop(ends.send(Event::Planned(Box::new(fix))).await);
        });
    }

    async fn grant(&mut self, (id, wish, answer): Wish, around: &Surroundings) {
        let now = EventTime((around.wall_ms)());
        let granted = match self.book.wish(&id, wish, now) {
            Err(problem) => Err(problem),
            Ok(commands) => {
                let lost = self.settle(commands, around).await;
                match self.book.get(&id) {
                    _ if lost.contains(&id) => {
                        let why = "it could not be written to the database; see the log";
                        Err(FixProblem::Journal(why.into()))
                    }
                    Some(fix) => Ok(fix.clone()),
                    None => Err(FixProblem::Unknown(format!("no fix {id:?}"))),
                }
            }
        };
        // Whoever asked may be gone; it counts all the same.
        drop(answer.send(granted));
    }

    /// Puts what has changed on disk, shows it, and then asks. What is not on disk is not begun. Returns
    /// the fixes that are not.
    async fn settle(&mut self, commands: Vec<Command>, around: &Surroundings) -> BTreeSet<String> {
        let mut commands = VecDeque::from(commands);
        let mut lost = BTreeSet::new();
        loop {
            let changed = self.book.take_changed();
            let is_news = !changed.is_empty();
            for fix in changed {
                if let Err(error) = (around.keep)(fix.clone()).await {
                    tracing::error!(fix = fix.id, error, "a fix is not on disk");
                    self.metrics.journal_failures.inc();
                    lost.insert(fix.id.clone());
                }
                self.make_known(&fix, around).await;
            }
            if is_news {
                around.shown.send_replace(Arc::new(self.book.fixes().to_vec()));
                self.metrics.stand(self.book.fixes());
            }
            let Some(command) = commands.pop_front() else { return lost };
            let order = command.order();
            if matches!(command, Command::Apply(_)) && lost.contains(&order.fix) {
                let word = Word::Refused("it could not be written to the database".into());
                let told = Event::Told { fix: order.fix.clone(), rung: order.rung, word };
                commands.extend(self.book.on(told, EventTime((around.wall_ms)())));
                continue;
            }
            self.carry_out(command);
        }
    }

    fn carry_out(&self, command: Command) {
        let (fix, rung) = (command.order().fix.clone(), command.order().rung);
        let (helpers, config) = (self.helpers.clone(), self.config.clone());
        let (metrics, ends) = (self.metrics.clone(), self.ends.clone());
        tokio::spawn(async move {
            let word = perform(&command, &helpers, &config, &metrics).await;
            drop(ends.send(Event::Told { fix, rung, word }).await);
        });
    }

    /// In the log and with the diagnosis, when it has come to another state.
    async fn make_known(&mut self, fix: &FixRecord, around: &Surroundings) {
        let before = self.told.insert(fix.id.clone(), fix.state);
        if before == Some(fix.state) {
            return;
        }
        self.metrics.moved(before, fix);
        let FixRecord { id, service, state, reason, .. } = fix;
        tracing::info!(fix = id, service, state = state.name(), reason, "fix");
        let all = self.book.fixes();
        let text: Vec<String> =
            all.iter().filter(|f| f.diagnosis == fix.diagnosis).map(sentence).collect();
        self.told.retain(|id, _| all.iter().any(|f| f.id == *id));
        let update = DiagnosisUpdate::Acted { id: fix.diagnosis.clone(), text: text.join(" ") };
        (around.tell)(update).await;
    }

    /// So that a helper that is down is known before it is needed.
    fn ping(&self) {
        for node in self.helpers.nodes() {
            let (helpers, node) = (self.helpers.clone(), node.clone());
            tokio::spawn(async move {
                // What came of it is in the metrics.
                drop(helpers.ask(&node, crate::wire::Request::Ping {}).await);
            });
        }
    }
}
