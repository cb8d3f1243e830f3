//! What there is to learn from and to diagnose: one trial, simulated and watched.
//!
//! In: a [`Trial`]. Out: [`Record`], which every judged system is shown alike. Absent on purpose:
//! any system, Sage included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::feed::Feed;
use super::rivals::Past;
use super::schedule::{Minute, Schedule};
use super::sim::{AppSpec, Fault, Simulator};
use super::trial::Trial;
use super::truth::{Blame, judge};
use crate::data::{EventTime, Frame, QosTarget, Resource};
use crate::diagnose::met_all;
use crate::stats::median;

/// Event time a trial begins at: 2026-01-01.
const EPOCH_MS: i64 = 1_767_225_600_000;
/// Calm intervals from which the target is taken.
const CALM: usize = 20;
/// The target is this much above the calm latency.
const SLACK: f64 = 1.3;

/// A trial, watched.
#[derive(Clone, Debug)]
pub struct Record {
    /// The application, as it is during the test.
    pub spec: AppSpec,
    /// The target.
    pub target: QosTarget,
    /// Everything measured, oldest first: calm, training, test.
    pub frames: Vec<Arc<Frame>>,
    /// How many of the frames may be learnt from.
    pub train: usize,
    /// Whether each of those met the target.
    pub met: Vec<bool>,
    /// Root causes of violations among those, by the start of the interval, if they were asked for.
    pub labels: BTreeMap<EventTime, Vec<(String, Option<Resource>)>>,
    /// What happened in every interval of the test, by its start.
    pub minutes: BTreeMap<EventTime, Minute>,
    /// Violations of the test that somebody is to blame for and that the frames show, too, unless alerts come from
    /// elsewhere.
    pub violations: Vec<Violation>,
}

/// A violation, and who was to blame.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Index of its frame.
    pub frame: usize,
    /// When the simulated interval began: as the frame, unless that is of several.
    pub start: EventTime,
    /// What happened.
    pub minute: Minute,
    /// Who was to blame.
    pub blame: Blame,
    /// The frame of the same interval and the same requests without harmful faults, if it was asked
    /// for. Only its latencies mean something: monitoring did not watch.
    pub without: Option<Arc<Frame>>,
}

impl Record {
    /// What a compared system may learn from.
    pub fn past(&self, seed: u64) -> Past<'_> {
        Past {
            frames: &self.frames[..self.train],
            met: &self.met,
            labels: &self.labels,
            target: &self.target,
            seed,
        }
    }

    /// The same, had only the newest `count` intervals of the training part been watched.
    #[must_use]
    pub fn newest(&self, count: usize) -> Self {
        let gone = self.train.saturating_sub(count);
        let moved = |v: &Violation| Violation { frame: v.frame - gone, ..v.clone() };
        Self {
            frames: self.frames[gone..].to_vec(),
            train: self.train - gone,
            met: self.met[gone..].to_vec(),
            violations: self.violations.iter().map(moved).collect(),
            ..self.clone()
        }
    }

    /// Index of the service of that name.
    pub fn service(&self, name: &str) -> Option<usize> {
        self.spec.service(name)
    }
}

/// An application running under a schedule, with its frames.
struct Stage<'a> {
    trial: &'a Trial,
    simulator: Simulator,
    schedule: Schedule,
    feed: Feed,
    frames: Vec<Arc<Frame>>,
    /// What the target is about, of all requests, by interval.
    truth_ms: Vec<f64>,
    steps: usize,
    progress: &'a dyn Fn(f64),
}

/// An interval that was run.
struct Step {
    start: EventTime,
    blame: Option<(Blame, Option<Arc<Frame>>)>,
}

impl Stage<'_> {
    /// Runs one interval; says who was to blame if a target to judge by is given and was missed.
    fn step(&mut self, minute: &Minute, target: Option<&QosTarget>) -> Step {
        let interval = self.trial.interval;
        let before = target.map(|_| self.simulator.clone());
        let start = self.simulator.now();
        let observation = self.simulator.run(interval, minute.load, &minute.faults);
        let blame = target.zip(before).and_then(|(t, before)| {
            let observed = observation.truth.quantile_ms(t.quantile).unwrap_or(0.0);
            let blame = judge(&before, minute, interval, t.quantile, t.target_ms, observed)?;
            let is_wanted = self.trial.counterfactual;
            Some((blame, if is_wanted { without(before, minute, interval) } else { None }))
        });
        self.truth_ms.extend(observation.truth.quantile_ms(self.trial.spec.qos_quantile));
        self.frames.extend(self.feed.push(observation));
        self.steps += 1;
        let all = CALM + self.trial.train + self.trial.test;
        (self.progress)(self.steps as f64 / all as f64);
        Step { start, blame }
    }

    /// The trial's drift sets in.
    fn drift(&mut self) -> Result<(), String> {
        let drift = &self.trial.drift;
        if let Some(spec) = &drift.spec {
            // Other requests than those of the training, so that no trace has the id of an old one.
            let (observe, seed) = (self.trial.observe.clone(), !self.trial.seed);
            let now = self.simulator.now().0;
            self.simulator = Simulator::new(spec, observe, seed, now).map_err(|e| e.to_string())?;
        }
        if let Some(weather) = drift.weather {
            self.schedule.change(weather);
        }
        Ok(())
    }
}

/// Simulates and watches `trial`. `progress` hears the share done.
///
/// # Errors
/// The words of what is wrong with the application.
pub fn record(trial: &Trial, progress: &dyn Fn(f64)) -> Result<Record, String> {
    let simulator = Simulator::new(&trial.spec, trial.observe.clone(), trial.seed, EPOCH_MS)
        .map_err(|e| e.to_string())?;
    let mut stage = Stage {
        trial,
        simulator,
        schedule: Schedule::new(&trial.spec, trial.weather, trial.seed ^ 0x5eed),
        feed: trial.feed(),
        frames: Vec::new(),
        truth_ms: Vec::new(),
        steps: 0,
        progress,
    };
    for _ in 0..CALM {
        let minute = Minute { load: stage.schedule.load(), faults: Vec::new() };
        stage.step(&minute, None);
    }
    let known = trial.all_alerts.then_some(&*stage.truth_ms);
    let target = target(&trial.spec, &stage.frames, known)?;
    let mut labels = BTreeMap::new();
    for _ in 0..trial.train {
        let minute = stage.schedule.next_minute();
        let step = stage.step(&minute, trial.labelled.then_some(&target));
        labels.extend(step.blame.map(|(b, _)| (step.start, causes(&trial.spec, &b))));
    }
    let train = stage.frames.len();
    // Intervals that have not closed yet cannot be learnt from.
    let newest = stage.frames.last().map(|f| f.interval.start);
    labels.retain(|start, _| Some(*start) <= newest);
    stage.drift()?;
    let (mut minutes, mut blames) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..trial.test {
        let mut minute = stage.schedule.next_minute();
        minute.load *= trial.drift.load.unwrap_or(1.0);
        let step = stage.step(&minute, Some(&target));
        blames.extend(step.blame.map(|b| (step.start, b)));
        minutes.insert(step.start, minute);
    }
    let frames = stage.frames;
    let learnt: Vec<&Frame> = frames[..train].iter().map(|f| &**f).collect();
    let met = met_all(&learnt, std::slice::from_ref(&target));
    let shown = |f: &Frame| trial.all_alerts || target.is_violated(f) == Some(true);
    let violations = violations(&frames, shown, &minutes, &blames);
    let spec = trial.drift.spec.clone().unwrap_or_else(|| trial.spec.clone());
    Ok(Record { spec, target, frames, train, met, labels, minutes, violations })
}

/// What is measured of the latencies of an interval when nothing harmful happens in it.
fn without(mut simulator: Simulator, minute: &Minute, interval: Duration) -> Option<Arc<Frame>> {
    let harmless: Vec<Fault> =
        minute.faults.iter().filter(|f| f.kind.is_bystander()).copied().collect();
    let (start, mut feed) = (simulator.now(), Feed::new(interval));
    let mut frames = feed.push(simulator.run(interval, minute.load, &harmless));
    // An interval closes when the next one is under way.
    frames.extend(feed.push(simulator.run(interval, minute.load, &[])));
    frames.into_iter().find(|f| f.interval.start == start)
}

/// The target: a little above what the tail is when nothing is wrong, as the frames have it, or the truth if
/// that is known.
fn target(
    spec: &AppSpec,
    frames: &[Arc<Frame>],
    truth_ms: Option<&[f64]>,
) -> Result<QosTarget, String> {
    let entry = spec.entries.first().ok_or("an application without entries")?;
    let service = spec.services[entry.service].name.clone();
    let probe = QosTarget { service, quantile: spec.qos_quantile, target_ms: f64::INFINITY };
    let calm = match truth_ms {
        Some(truth_ms) => median(truth_ms.iter().copied()),
        None => median(frames.iter().filter_map(|f| probe.observed_ms(f))),
    };
    Ok(QosTarget { target_ms: calm.ok_or("no requests")? * SLACK, ..probe })
}

/// Those to blame, by name.
fn causes(spec: &AppSpec, blame: &Blame) -> Vec<(String, Option<Resource>)> {
    blame
        .faults
        .iter()
        .map(|f| (spec.services[f.service].name.clone(), f.kind.resource()))
        .collect()
}

/// The violations that would raise an alert: usually the sampled traces must show them, too.
fn violations(
    frames: &[Arc<Frame>],
    shown: impl Fn(&Frame) -> bool,
    minutes: &BTreeMap<EventTime, Minute>,
    blames: &BTreeMap<EventTime, (Blame, Option<Arc<Frame>>)>,
) -> Vec<Violation> {
    let of = |(frame, f): (usize, &Arc<Frame>)| {
        let (start, (blame, without)) = blames.range(f.interval.start..f.interval.end).next()?;
        let (minute, start) = (minutes.get(start)?.clone(), *start);
        let (blame, without) = (blame.clone(), without.clone());
        shown(f).then_some(Violation { frame, start, minute, blame, without })
    };
    frames.iter().enumerate().filter_map(of).collect()
}
