//! Counters of diagnoses.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::data::{Diagnosis, Outcome};
use crate::observe::Registry;

/// `outcome` of a diagnosis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// As in the API, or `failed`.
    pub outcome: &'static str,
}

/// What came of alerts.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Diagnoses made, by outcome. An alert that is looked at again counts again.
    pub diagnoses: Family<OutcomeLabels, Counter>,
    /// Alerts delivered that were known already.
    pub duplicates: Counter,
    /// Diagnoses waiting their turn.
    pub waiting: Gauge,
    /// Time a diagnosis took.
    pub seconds: Histogram,
}

const OUTCOMES: [&str; 6] =
    ["root_cause", "qos_met", "unexplained", "no_model", "not_enough_data", "failed"];

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let buckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];
        let m = Self {
            diagnoses: Family::default(),
            duplicates: Counter::default(),
            waiting: Gauge::default(),
            seconds: Histogram::new(buckets),
        };
        for outcome in OUTCOMES {
            drop(m.diagnoses.get_or_create(&OutcomeLabels { outcome }));
        }
        let r = registry.sub_registry_with_prefix("sage_diagnose");
        r.register("diagnoses", "Diagnoses made", m.diagnoses.clone());
        r.register("duplicate_alerts", "Alerts that were known already", m.duplicates.clone());
        r.register("waiting", "Diagnoses waiting their turn", m.waiting.clone());
        r.register("duration_seconds", "Time a diagnosis took", m.seconds.clone());
        m
    }

    pub(super) fn count(&self, diagnosis: &Diagnosis) {
        let outcome = match diagnosis.outcome {
            Some(Outcome::RootCause) => "root_cause",
            Some(Outcome::QosMet) => "qos_met",
            Some(Outcome::Unexplained) => "unexplained",
            Some(Outcome::NoModel) => "no_model",
            Some(Outcome::NotEnoughData) => "not_enough_data",
            None => "failed",
        };
        self.diagnoses.get_or_create(&OutcomeLabels { outcome }).inc();
        self.seconds.observe(diagnosis.took_ms / 1000.0);
    }
}
