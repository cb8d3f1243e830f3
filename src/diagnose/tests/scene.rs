//! A history, an alert, and the verdict on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::linear::Linear;
use super::town::{EPOCH_MS, INTERVAL_MS, Trouble, frame};
use crate::data::{Alert, AlertKey, AlertStatus, EventTime, Frame, QosTarget, Resource};
use crate::diagnose::{Config, Question, Verdict, diagnose};
use crate::graph::Mechanism;

/// What front must keep.
pub(super) const TARGET_MS: f64 = 30.0;
/// Calm frames before the trouble, unless a test says otherwise: more than an alert's range.
pub(super) const CALM: usize = 60;

pub(super) fn target() -> QosTarget {
    QosTarget { service: "front".into(), quantile: 0.99, target_ms: TARGET_MS }
}

/// Frames in a row: so many of each kind.
pub(super) fn history(stretches: &[(usize, &[Trouble])]) -> Vec<Arc<Frame>> {
    let all = stretches.iter().flat_map(|(count, t)| std::iter::repeat_n(*t, *count));
    all.enumerate().map(|(n, troubles)| Arc::new(frame(n as i64, troubles))).collect()
}

/// An alert that begins to fire as frame `n` ends.
pub(super) fn alert(n: usize) -> Alert {
    let starts_at = EventTime(EPOCH_MS + (n as i64 + 1) * INTERVAL_MS);
    Alert {
        key: AlertKey { fingerprint: "f".into(), starts_at },
        status: AlertStatus::Firing,
        labels: BTreeMap::from([("service".into(), "front".into())]),
        annotations: BTreeMap::new(),
        ends_at: None,
    }
}

/// Everything a verdict depends on.
pub(super) struct Scene {
    pub(super) alert: Alert,
    pub(super) history: Vec<Arc<Frame>>,
    pub(super) targets: Vec<QosTarget>,
    pub(super) mechanism: Option<Linear>,
    pub(super) config: Config,
}

impl Scene {
    /// Calm frames, then one with trouble, which the alert is about.
    pub(super) fn after_calm(troubles: &[Trouble]) -> Self {
        Self::new(history(&[(CALM, &[]), (1, troubles)]), alert(CALM))
    }

    pub(super) fn new(history: Vec<Arc<Frame>>, alert: Alert) -> Self {
        Self {
            alert,
            history,
            targets: vec![target()],
            mechanism: Some(Linear::new()),
            config: Config::default(),
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        diagnose(&Question {
            alert: &self.alert,
            last_ended: None,
            history: &self.history,
            watermark: self.history.last().map(|f| f.interval.end),
            targets: &self.targets,
            mechanism: self.mechanism.as_ref().map(|m| m as &dyn Mechanism),
            config: &self.config,
        })
    }
}

/// Who is accused, of what.
pub(super) fn named(verdict: &Verdict) -> Vec<(&str, Option<Resource>)> {
    verdict.root_causes.iter().map(|c| (c.service.as_str(), c.resource)).collect()
}

/// Whether two latencies are the same but for rounding and the one percent by which all vary.
#[track_caller]
pub(super) fn assert_ms(got: f64, want: f64) {
    assert!((got - want).abs() <= 0.015 * want, "{got} ms is not {want} ms");
}
