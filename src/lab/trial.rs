//! One application, trained on disturbed traffic without labels, then diagnosed violation by
//! violation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::feed::Feed;
use super::schedule::{Minute, Schedule, Weather};
use super::score::{Named, Score};
use super::sim::{AppSpec, SimConfig, Simulator};
use super::truth::{Blame, judge};
use crate::data::{Alert, AlertKey, AlertStatus, Frame, QosTarget};
use crate::diagnose::{self, Question, Verdict, diagnose, met_all};
use crate::graph::{CausalNet, Mechanism as _, Quality, RpcGraph};
use crate::model::{self, Lesson, Model};

/// Event time a trial begins at: 2026-01-01.
const EPOCH_MS: i64 = 1_767_225_600_000;
/// Calm intervals from which the target is taken.
const CALM: usize = 20;
/// The target is this much above the calm latency.
const SLACK: f64 = 1.3;

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The application.
    pub spec: AppSpec,
    /// How it is observed.
    pub observe: SimConfig,
    /// Length of an interval.
    pub interval: Duration,
    /// Intervals trained on.
    pub train: usize,
    /// Intervals diagnosed.
    pub test: usize,
    /// Seed of everything.
    pub seed: u64,
    /// Disturbances.
    pub weather: Weather,
}

/// A violation, who was to blame and what was said.
#[derive(Debug)]
pub struct Case {
    /// What happened.
    pub minute: Minute,
    /// Who was to blame.
    pub blame: Blame,
    /// What was said.
    pub verdict: Verdict,
    /// The same as indices.
    pub named: Named,
}

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// The target that was used.
    pub target: QosTarget,
    /// Fit of the model.
    pub quality: Quality,
    /// The model.
    pub model: Model,
    /// Score of the diagnoses.
    pub score: Score,
    /// Score of the robust baseline (service only).
    pub baseline: Score,
    /// Every violation.
    pub cases: Vec<Case>,
    /// Seconds the training took.
    pub train_seconds: f64,
    /// Milliseconds per diagnosis.
    pub diagnose_ms: f64,
}

/// An application running under a schedule, with its frames.
struct Stage {
    simulator: Simulator,
    schedule: Schedule,
    feed: Feed,
    frames: Vec<Arc<Frame>>,
    /// Of the target.
    quantile: f64,
}

impl Stage {
    /// Runs one interval; returns the true tail, milliseconds.
    fn step(&mut self, minute: &Minute, interval: Duration) -> f64 {
        let observation = self.simulator.run(interval, minute.load, &minute.faults);
        let tail = observation.truth.quantile_ms(self.quantile).unwrap_or(0.0);
        self.frames.extend(self.feed.push(observation));
        tail
    }
}

/// Runs a trial. `clock` reads seconds of wall time.
///
/// # Errors
/// The words of what went wrong.
pub fn run(trial: &Trial, clock: &dyn Fn() -> f64) -> Result<Outcome, String> {
    let simulator = Simulator::new(&trial.spec, trial.observe.clone(), trial.seed, EPOCH_MS)
        .map_err(|e| e.to_string())?;
    let mut stage = Stage {
        simulator,
        schedule: Schedule::new(&trial.spec, trial.weather, trial.seed ^ 0x5eed),
        feed: Feed::new(trial.interval),
        frames: Vec::new(),
        quantile: trial.spec.qos_quantile,
    };
    for _ in 0..CALM {
        let minute = Minute { load: stage.schedule.load(), faults: Vec::new() };
        stage.step(&minute, trial.interval);
    }
    let target = target(&trial.spec, &stage.frames)?;
    for _ in 0..trial.train {
        let minute = stage.schedule.next_minute();
        stage.step(&minute, trial.interval);
    }
    let start = clock();
    let model = train(&stage.frames, &target, trial.seed)?;
    let train_seconds = clock() - start;
    let (cases, diagnose_seconds) = diagnose_all(trial, &mut stage, &target, &model, clock);
    let diagnose_ms = diagnose_seconds * 1000.0 / cases.len().max(1) as f64;
    let (mut score, mut baseline) = (Score::default(), Score::default());
    for case in &cases {
        score.add(&case.blame, &case.named);
        let first = case.verdict.robust_baseline.first();
        let named = first.and_then(|b| index_of(&trial.spec, &b.service)).map(|s| (s, None));
        baseline.add(&case.blame, &named.into_iter().collect());
    }
    let quality = model.quality().clone();
    Ok(Outcome { target, quality, model, score, baseline, cases, train_seconds, diagnose_ms })
}

/// The target: a little above what the tail is when nothing is wrong.
fn target(spec: &AppSpec, frames: &[Arc<Frame>]) -> Result<QosTarget, String> {
    let entry = spec.entries.first().ok_or("an application without entries")?;
    let service = spec.services[entry.service].name.clone();
    let probe = QosTarget { service, quantile: spec.qos_quantile, target_ms: f64::INFINITY };
    let calm = crate::stats::median(frames.iter().filter_map(|f| probe.observed_ms(f)));
    Ok(QosTarget { target_ms: calm.ok_or("no requests")? * SLACK, ..probe })
}

fn train(frames: &[Arc<Frame>], target: &QosTarget, seed: u64) -> Result<Model, String> {
    let frames: Vec<&Frame> = frames.iter().map(|f| &**f).collect();
    let net =
        CausalNet::new(&RpcGraph::learn(frames.iter().copied(), &crate::graph::Config::default()));
    let met = met_all(&frames, std::slice::from_ref(target));
    let config = model::Config { seed, ..model::Config::default() };
    let lesson = Lesson { frames: &frames, met: &met, net: &net };
    model::fit(&lesson, &config, &|_| {}, &AtomicBool::new(false)).map_err(|e| e.to_string())
}

/// Runs the test intervals and diagnoses every violation; also the seconds the diagnoses took.
fn diagnose_all(
    trial: &Trial,
    stage: &mut Stage,
    target: &QosTarget,
    model: &Model,
    clock: &dyn Fn() -> f64,
) -> (Vec<Case>, f64) {
    let config = diagnose::Config { pending: Duration::ZERO, ..diagnose::Config::default() };
    let mut pending: Vec<(Minute, Blame, i64)> = Vec::new();
    let (mut cases, mut seconds) = (Vec::new(), 0.0);
    for _ in 0..trial.test {
        let minute = stage.schedule.next_minute();
        let before = stage.simulator.clone();
        let start = before.now().0;
        let observed = stage.step(&minute, trial.interval);
        let blame =
            judge(&before, &minute, trial.interval, target.quantile, target.target_ms, observed);
        pending.extend(blame.map(|b| (minute, b, start)));
        // A frame closes one step later than its interval ends.
        pending.retain(|(minute, blame, start)| {
            let closed = stage.frames.iter().rev().take(4).any(|f| f.interval.start.0 == *start);
            if closed && violates(&stage.frames, *start, target) {
                let begun = clock();
                let verdict = ask(&stage.frames, *start, trial.interval, target, model, &config);
                seconds += clock() - begun;
                cases.push(case(&trial.spec, minute.clone(), blame.clone(), verdict));
            }
            !closed
        });
    }
    (cases, seconds)
}

/// Whether the alert would fire: the sampled traces show the violation, too.
fn violates(frames: &[Arc<Frame>], start: i64, target: &QosTarget) -> bool {
    let frame = frames.iter().rev().find(|f| f.interval.start.0 == start);
    frame.is_some_and(|f| target.is_violated(f) == Some(true))
}

fn ask(
    frames: &[Arc<Frame>],
    start: i64,
    interval: Duration,
    target: &QosTarget,
    model: &Model,
    config: &diagnose::Config,
) -> Verdict {
    let starts_at = crate::data::EventTime(start);
    let alert = Alert {
        key: AlertKey { fingerprint: "trial".into(), starts_at },
        status: AlertStatus::Resolved,
        labels: BTreeMap::from([("service".into(), target.service.clone())]),
        annotations: BTreeMap::new(),
        ends_at: Some(starts_at.plus(interval)),
    };
    diagnose(&Question {
        alert: &alert,
        history: frames,
        watermark: None,
        targets: std::slice::from_ref(target),
        mechanism: Some(model),
        config,
    })
}

fn case(spec: &AppSpec, minute: Minute, blame: Blame, verdict: Verdict) -> Case {
    let named = verdict
        .root_causes
        .iter()
        .filter_map(|c| Some((index_of(spec, &c.service)?, c.resource)))
        .collect();
    Case { minute, blame, verdict, named }
}

fn index_of(spec: &AppSpec, service: &str) -> Option<usize> {
    spec.services.iter().position(|s| s.name == service)
}
