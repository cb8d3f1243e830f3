//! BARO's robust scorer (FSE 2024): whatever is most interquartile ranges away from its median. The
//! score is the one that every diagnosis shows as its second opinion.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::rival::{Accused, Past, Rival};
use super::usual::Usual;
use crate::data::{Alert, AlertKey, AlertStatus, Frame, QosTarget};
use crate::diagnose::{Config, Question, diagnose};

/// The robust scorer.
#[derive(Debug)]
pub(super) struct Baro {
    target: QosTarget,
    usual: Usual,
}

impl Baro {
    /// Learns nothing but what resource a service that it names is short of.
    pub(super) fn new(past: &Past<'_>) -> Self {
        let usual = Usual::learn(&past.calm(), past.target.quantile);
        Self { target: past.target.clone(), usual }
    }
}

impl Rival for Baro {
    fn name(&self) -> &'static str {
        "BARO"
    }

    fn accuse(&self, frames: &[Arc<Frame>]) -> Accused {
        let Some(now) = frames.last() else { return Vec::new() };
        let alert = Alert {
            key: AlertKey { fingerprint: "baro".into(), starts_at: now.interval.start },
            status: AlertStatus::Resolved,
            labels: BTreeMap::from([("service".into(), self.target.service.clone())]),
            annotations: BTreeMap::new(),
            ends_at: Some(now.interval.end),
        };
        let verdict = diagnose(&Question {
            alert: &alert,
            last_ended: None,
            history: frames,
            watermark: None,
            targets: std::slice::from_ref(&self.target),
            mechanism: None,
            config: &Config { pending: Duration::ZERO, ..Config::default() },
        });
        let scores = verdict.robust_baseline.into_iter();
        scores.map(|s| (s.service.clone(), self.usual.resource(now, &s.service))).collect()
    }
}
