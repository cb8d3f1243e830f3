//! The same violations for every policy and every moment after an update: what a model knows is judged by
//! more cases than a few intervals have. Half of the faults are aimed at what the update changed and at
//! the neighbours of that, half strike as they always do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::outcome::Scores;
use super::stream::{INTERVAL, Ran, Stream};
use super::versions::{Touched, Version};
use crate::data::{Alert, AlertKey, AlertStatus, EventTime, Frame, Interval, QosTarget};
use crate::diagnose::{self, Question, diagnose};
use crate::lab::{Blame, Named, Weather, judge};
use crate::model::Model;

/// Share of the faults that are aimed: half of these at what has changed, half at its neighbours.
const AIMED: f64 = 0.5;
/// Chance that a calm interval begins an episode.
const EPISODE: f64 = 0.6;

/// Violations of a version and who was to blame for each.
pub(super) struct Probes<'a> {
    version: &'a Version,
    target: &'a QosTarget,
    touched: Touched,
    cases: Vec<(Frame, Blame)>,
}

impl<'a> Probes<'a> {
    /// Violations of `version`, which touched so much, among `intervals` intervals of their own.
    pub(super) fn new(
        (version, touched): (&'a Version, Touched),
        target: &'a QosTarget,
        intervals: usize,
        seed: u64,
    ) -> Result<Self, String> {
        let mut stream = Stream::new(version, target.clone(), seed)?;
        let weather = Weather { episode: EPISODE, length: (1, 1), ..Weather::default() };
        stream.disturb(weather, aims(&touched), AIMED);
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
            is_violated.then(|| (Frame::clone(frame), blame))
        };
        let cases = waiting.into_iter().filter_map(of).collect();
        Ok(Self { version, target, touched, cases })
    }

    /// Diagnoses every violation as if it came right after `history`.
    pub(super) fn score(&self, history: &[Arc<Frame>], model: Option<&Model>) -> Scores {
        let config = diagnose::Config { pending: Duration::ZERO, ..diagnose::Config::default() };
        let mut scores = Scores::default();
        let mut frames = history.to_vec();
        let start = history.last().map_or(EventTime(0), |f| f.interval.end);
        for (frame, blame) in &self.cases {
            let interval = Interval { start, end: start.plus(INTERVAL) };
            frames.truncate(history.len());
            frames.push(Arc::new(Frame { interval, ..frame.clone() }));
            let named = model.map_or_else(Vec::new, |m| self.ask(&frames, interval, m, &config));
            let is_of = |services: &std::collections::BTreeSet<usize>| {
                blame.faults.iter().any(|f| services.contains(&f.service))
            };
            scores.all.add(blame, &named);
            if is_of(&self.touched.changed) {
                scores.changed.add(blame, &named);
            } else if is_of(&self.touched.near) {
                scores.near.add(blame, &named);
            }
        }
        scores
    }

    fn ask(
        &self,
        frames: &[Arc<Frame>],
        interval: Interval,
        model: &Model,
        config: &diagnose::Config,
    ) -> Named {
        let alert = Alert {
            key: AlertKey { fingerprint: "probe".into(), starts_at: interval.start },
            status: AlertStatus::Resolved,
            labels: BTreeMap::from([("service".into(), self.target.service.clone())]),
            annotations: BTreeMap::new(),
            ends_at: Some(interval.end),
        };
        let verdict = diagnose(&Question {
            alert: &alert,
            last_ended: None,
            history: frames,
            watermark: None,
            targets: std::slice::from_ref(self.target),
            mechanism: Some(model),
            config,
        });
        let named = verdict.root_causes.iter();
        named.filter_map(|c| Some((self.version.spec.service(&c.service)?, c.resource))).collect()
    }
}

/// What has changed and its neighbours, each as often as the other.
fn aims(Touched { changed, near }: &Touched) -> Vec<usize> {
    let (a, b) = (changed.len().max(1), near.len().max(1));
    let times = |list: &std::collections::BTreeSet<usize>, times: usize| {
        list.iter().copied().flat_map(|j| vec![j; times]).collect::<Vec<usize>>()
    };
    [times(changed, b), times(near, a)].concat()
}
