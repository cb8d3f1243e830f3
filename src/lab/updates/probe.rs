//! The same violations for every policy and every moment after an update: what a model knows is judged by
//! more cases than a few intervals have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::stream::{INTERVAL, Ran, Stream};
use super::versions::Version;
use crate::data::{Alert, AlertKey, AlertStatus, EventTime, Frame, Interval, QosTarget};
use crate::diagnose::{self, Question, diagnose};
use crate::lab::{Blame, Score, judge};
use crate::model::Model;

/// A violation and who was to blame.
pub(super) struct Probe {
    frame: Frame,
    blame: Blame,
}

/// Violations of `version` among `intervals` intervals of their own.
pub(super) fn probes(
    version: &Version,
    target: &QosTarget,
    intervals: usize,
    seed: u64,
) -> Result<Vec<Probe>, String> {
    let mut stream = Stream::new(version, target.clone(), seed)?;
    stream.calm();
    let mut waiting: Vec<(i64, Blame)> = Vec::new();
    for _ in 0..intervals {
        let Ran { minute, before, tail_ms } = stream.step();
        let start = before.now().0;
        let (q, ms) = (target.quantile, target.target_ms);
        waiting.extend(judge(&before, &minute, INTERVAL, q, ms, tail_ms).map(|b| (start, b)));
    }
    stream.calm();
    let of = |(start, blame): (i64, Blame)| {
        let frame = stream.frames.iter().find(|f| f.interval.start.0 == start)?;
        // The sampled traces must show the violation as well, or there would be no alert.
        let is_violated = target.is_violated(frame) == Some(true);
        is_violated.then(|| Probe { frame: Frame::clone(frame), blame })
    };
    Ok(waiting.into_iter().filter_map(of).collect())
}

/// Diagnoses every probe as if it came right after `history`.
pub(super) fn score(
    probes: &[Probe],
    history: &[Arc<Frame>],
    target: &QosTarget,
    model: Option<&Model>,
    version: &Version,
) -> Score {
    let config = diagnose::Config { pending: Duration::ZERO, ..diagnose::Config::default() };
    let mut score = Score::default();
    let mut frames = history.to_vec();
    let start = history.last().map_or(EventTime(0), |f| f.interval.end);
    for probe in probes {
        let interval = Interval { start, end: start.plus(INTERVAL) };
        frames.truncate(history.len());
        frames.push(Arc::new(Frame { interval, ..probe.frame.clone() }));
        let named = match model {
            Some(model) => ask(&frames, interval, target, model, &config, version),
            None => Vec::new(),
        };
        score.add(&probe.blame, &named);
    }
    score
}

fn ask(
    frames: &[Arc<Frame>],
    interval: Interval,
    target: &QosTarget,
    model: &Model,
    config: &diagnose::Config,
    version: &Version,
) -> crate::lab::Named {
    let alert = Alert {
        key: AlertKey { fingerprint: "probe".into(), starts_at: interval.start },
        status: AlertStatus::Resolved,
        labels: BTreeMap::from([("service".into(), target.service.clone())]),
        annotations: BTreeMap::new(),
        ends_at: Some(interval.end),
    };
    let verdict = diagnose(&Question {
        alert: &alert,
        history: frames,
        watermark: None,
        targets: std::slice::from_ref(target),
        mechanism: Some(model),
        config,
    });
    let named = verdict.root_causes.iter();
    named.filter_map(|c| Some((version.spec.service(&c.service)?, c.resource))).collect()
}
