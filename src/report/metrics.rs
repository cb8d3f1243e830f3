//! Counters of what is shown outside.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::observe::Registry;

/// Diagnoses that are kept, and Grafana pushes.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// What the diagnoses that are kept take, about.
    pub bytes: Gauge,
    /// Diagnoses that had to lose what they said of every single service.
    pub shortened: Counter,
    /// Diagnoses forgotten for want of bytes.
    pub forgotten: Counter,
    /// Annotations created.
    pub created: Counter,
    /// Annotations updated.
    pub updated: Counter,
    /// Attempts that will be repeated.
    pub retries: Counter,
    /// Annotations Grafana refused for good.
    pub refused: Counter,
    /// Annotations given up because too many waited.
    pub given_up: Counter,
    /// Annotations waiting.
    pub waiting: Gauge,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        let r = registry.sub_registry_with_prefix("sage_diagnoses");
        r.register("held_bytes", "What the diagnoses kept take in memory", m.bytes.clone());
        r.register("shortened", "Diagnoses shortened for want of room", m.shortened.clone());
        r.register("forgotten", "Diagnoses forgotten for want of room", m.forgotten.clone());
        let r = registry.sub_registry_with_prefix("sage_grafana");
        r.register("annotations_created", "Annotations created", m.created.clone());
        r.register("annotations_updated", "Annotations updated", m.updated.clone());
        r.register("retries", "Calls that will be repeated", m.retries.clone());
        r.register("annotations_refused", "Annotations refused for good", m.refused.clone());
        r.register("annotations_given_up", "Annotations given up", m.given_up.clone());
        r.register("annotations_waiting", "Annotations waiting", m.waiting.clone());
        m
    }
}
