//! Sage on a record: it learns, is asked about every violation, and is scored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::record::{Record, Violation};
use super::score::{Named, Score};
use crate::data::{Alert, AlertKey, AlertStatus, Frame};
use crate::diagnose::{self, Question, Verdict, diagnose};
use crate::graph::{CausalNet, RpcGraph};
use crate::model::{self, Lesson, Model};

/// A violation and what was said about it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What happened, and who was to blame.
    pub violation: Violation,
    /// What was said.
    pub verdict: Verdict,
    /// The same as indices.
    pub named: Named,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Score of the diagnoses.
    pub score: Score,
    /// Score of the robust baseline, which answers while there is no model (service only).
    pub baseline: Score,
    /// Every violation.
    pub cases: Vec<Case>,
    /// Milliseconds per diagnosis.
    pub diagnose_ms: f64,
}

/// Trains a model on the training part of `record`, without labels. `steps` other than the default
/// make a worse model in less time.
///
/// # Errors
/// The words of why the training failed.
pub fn learn(
    record: &Record,
    seed: u64,
    steps: Option<[usize; 2]>,
    progress: &dyn Fn(f64),
) -> Result<Model, String> {
    let frames: Vec<&Frame> = record.frames[..record.train].iter().map(|f| &**f).collect();
    let net =
        CausalNet::new(&RpcGraph::learn(frames.iter().copied(), &crate::graph::Config::default()));
    let defaults = model::Config::default();
    let config = model::Config { seed, steps: steps.unwrap_or(defaults.steps), ..defaults };
    let lesson = Lesson { frames: &frames, met: &record.met, net: &net };
    let progress = |share: f32| progress(f64::from(share));
    model::fit(&lesson, &config, &progress, &AtomicBool::new(false)).map_err(|e| e.to_string())
}

/// Asks about every violation of `record`, interval by interval. `clock` reads seconds.
pub fn examine(record: &Record, model: &Model, clock: &dyn Fn() -> f64) -> Outcome {
    let config = diagnose::Config { pending: Duration::ZERO, ..diagnose::Config::default() };
    let ask = |violation: &Violation| {
        let interval = record.frames[violation.frame].interval;
        let alert = Alert { ends_at: Some(interval.end), ..alert(record, interval.start) };
        let history = &record.frames[..=violation.frame];
        question(record, model, &alert, history, &config)
    };
    score(record, &record.violations, &ask, clock)
}

/// Asks about every episode of `record` that goes on for `holds`, once, by an alert that begins to
/// fire `late` after its first violating interval began, with the product's own settings.
pub fn examine_late(
    record: &Record,
    model: &Model,
    (late, holds): (Duration, Duration),
    clock: &dyn Fn() -> f64,
) -> Outcome {
    let config = diagnose::Config::default();
    let ask = |violation: &Violation| {
        let fires = violation.start.plus(late);
        let closed = record.frames.iter().take_while(|f| f.interval.start <= fires).count();
        let alert = alert(record, fires);
        question(record, model, &alert, &record.frames[..closed], &config)
    };
    score(record, &episodes(record, holds), &ask, clock)
}

/// The first violation of every episode whose faults still hold `holds` after it began.
fn episodes(record: &Record, holds: Duration) -> Vec<Violation> {
    let faults = |v: &Violation, later: Duration| {
        let at = v.start.plus(later);
        let minute = record.minutes.range(..=at).next_back().map(|(_, minute)| minute);
        let harmful = |m: &super::schedule::Minute| -> Vec<_> {
            m.faults.iter().filter(|f| !f.kind.is_bystander()).copied().collect()
        };
        let is_seen = record.frames.iter().any(|f| f.interval.start <= at && at < f.interval.end);
        minute.filter(|_| is_seen).map(harmful)
    };
    let (mut all, mut under_way): (Vec<Violation>, Option<Vec<_>>) = (Vec::new(), None);
    for violation in &record.violations {
        let now = faults(violation, Duration::ZERO);
        if now != under_way && now == faults(violation, holds) {
            all.push(violation.clone());
        }
        under_way = now;
    }
    all
}

fn alert(record: &Record, starts_at: crate::data::EventTime) -> Alert {
    Alert {
        key: AlertKey { fingerprint: "trial".into(), starts_at },
        status: AlertStatus::Firing,
        labels: BTreeMap::from([("service".into(), record.target.service.clone())]),
        annotations: BTreeMap::new(),
        ends_at: None,
    }
}

fn question(
    record: &Record,
    model: &Model,
    alert: &Alert,
    history: &[Arc<Frame>],
    config: &diagnose::Config,
) -> Verdict {
    diagnose(&Question {
        alert,
        last_ended: None,
        history,
        watermark: history.last().map(|f| f.interval.end),
        targets: std::slice::from_ref(&record.target),
        mechanism: Some(model),
        config,
    })
}

fn score(
    record: &Record,
    violations: &[Violation],
    ask: &dyn Fn(&Violation) -> Verdict,
    clock: &dyn Fn() -> f64,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut seconds = 0.0;
    for violation in violations {
        let begun = clock();
        let verdict = ask(violation);
        seconds += clock() - begun;
        let causes = verdict.root_causes.iter();
        let named: Named =
            causes.filter_map(|c| Some((record.service(&c.service)?, c.resource))).collect();
        let first = verdict.robust_baseline.first();
        let loudest = first.and_then(|b| record.service(&b.service)).map(|s| (s, None));
        outcome.score.add(&violation.blame, &named);
        outcome.baseline.add(&violation.blame, &loudest.into_iter().collect());
        outcome.cases.push(Case { violation: violation.clone(), verdict, named });
    }
    outcome.diagnose_ms = seconds * 1000.0 / violations.len().max(1) as f64;
    outcome
}
