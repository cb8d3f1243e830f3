//! Counters of what is shown outside.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::observe::Registry;

/// Grafana pushes.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
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
