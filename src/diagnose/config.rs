//! `[diagnose]`: which intervals an alert is about, and when a cause is named.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Diagnosis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long before an alert begins to fire its cause may have begun.
    #[serde(with = "crate::duration")]
    pub pending: Duration,
    /// How long after it began to fire intervals still belong to it.
    #[serde(with = "crate::duration")]
    pub lookahead: Duration,
    /// Newest violating intervals whose evidence is combined.
    pub intervals_max: usize,
    /// Intervals from which normal values are taken.
    pub normal_intervals: usize,
    /// How well a restored service must explain the violation: 0.5 where QoS would just be met.
    pub threshold: f64,
    /// Robust z-score at which a metric is evidence.
    pub evidence: f64,
    /// Diagnoses kept in memory and listed.
    pub keep: usize,
    /// Alert labels or annotations that name the service, best first.
    pub service_labels: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pending: Duration::from_secs(300),
            lookahead: Duration::from_secs(600),
            intervals_max: 8,
            normal_intervals: 240,
            threshold: 0.5,
            evidence: 5.0,
            keep: 1000,
            service_labels: ["service", "sloth_service", "service_name", "app", "job"]
                .map(Into::into)
                .to_vec(),
        }
    }
}

impl Config {
    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        for (name, value, min) in [
            ("intervals_max", self.intervals_max, 1),
            ("normal_intervals", self.normal_intervals, 10),
            ("keep", self.keep, 1),
        ] {
            if value < min {
                faults.push(format!("diagnose.{name} = {value}: must be at least {min}"));
            }
        }
        if !(0.0..1.0).contains(&self.threshold) {
            faults.push(format!(
                "diagnose.threshold = {}: must be at least 0 and below 1 (default 0.5)",
                self.threshold
            ));
        }
        if self.evidence <= 0.0 {
            faults.push(format!("diagnose.evidence = {}: must be positive", self.evidence));
        }
    }
}
