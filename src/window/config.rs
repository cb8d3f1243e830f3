//! `[window]`: intervals, lateness, whose sample is whose, and limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::features::builtin_features;
use super::histograms;
use crate::data::{FeatureSpec, MetricKind};

/// How telemetry becomes frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Length of an interval.
    #[serde(with = "crate::duration")]
    pub interval: Duration,
    /// What it may grow to, in steps of twice as long, where fewer than `requests` come; zero: it does not.
    #[serde(with = "crate::duration")]
    pub interval_max: Duration,
    /// Requests from outside that an interval should hold, those that are traced.
    pub requests: usize,
    /// How far the watermark stays behind the newest event time.
    #[serde(with = "crate::duration")]
    pub lateness: Duration,
    /// Closed intervals kept.
    pub history: usize,
    /// What they may take in memory; beyond it unusually large ones go, then the oldest.
    pub history_bytes_max: u64,
    /// A counter or gauge without a new sample for this long counts as gone.
    #[serde(with = "crate::duration")]
    pub stale_after: Duration,
    /// Spans that may wait for their other half.
    pub spans_waiting_max: usize,
    /// Bytes that these and their names may take.
    pub spans_waiting_bytes_max: usize,
    /// Entries of each table of what earlier intervals showed.
    pub remembered_max: usize,
    /// Intervals open at once.
    pub open_intervals_max: usize,
    /// RPCs in one interval; further ones share the overflow RPC.
    pub rpcs_max: usize,
    /// Operations of one service in one interval; further ones share the overflow operation.
    pub operations_max: usize,
    /// Series followed.
    pub series_max: usize,
    /// Labels that name the service of a sample, best first.
    pub service_labels: Vec<String>,
    /// Labels that name the replica, best first.
    pub replica_labels: Vec<String>,
    /// Labels that name the host, best first; the host part of `instance` comes last.
    pub node_labels: Vec<String>,
    /// Latency histograms that stand in for spans.
    pub histograms: histograms::Config,
    /// The feature table; replaces the built-in one.
    pub features: Vec<FeatureSpec>,
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).into()).collect()
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            interval_max: Duration::ZERO,
            requests: 120,
            lateness: Duration::from_secs(10),
            history: 5760,
            history_bytes_max: 4 << 30,
            stale_after: Duration::from_secs(300),
            spans_waiting_max: 1_000_000,
            spans_waiting_bytes_max: 256 << 20,
            remembered_max: 100_000,
            open_intervals_max: 64,
            rpcs_max: 10_000,
            operations_max: 200,
            series_max: 200_000,
            service_labels: strings(&[
                "service",
                "service_name",
                "container_label_com_docker_swarm_service_name",
                "container_label_com_docker_compose_service",
                "label_app_kubernetes_io_name",
                "container",
                "groupname",
                "job",
            ]),
            replica_labels: strings(&["pod", "container+instance", "name", "id", "instance"]),
            node_labels: strings(&["node", "kubernetes_node"]),
            histograms: histograms::Config::default(),
            features: builtin_features(),
        }
    }
}

impl Config {
    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        if self.interval < Duration::from_secs(1) {
            faults.push(format!(
                "window.interval = {:?}: must be at least 1s (default 30s)",
                self.interval
            ));
        }
        // Parts of the longest stay open, beside what comes ahead of time.
        let most = self.interval.saturating_mul(self.open_intervals_max as u32 / 4);
        if self.interval_max > most {
            faults.push(format!(
                "window.interval_max = {:?}: must be at most a quarter of open_intervals_max intervals, {most:?} \
                 (default 0s: intervals keep their length)",
                self.interval_max
            ));
        }
        if self.lateness > Duration::from_secs(3600) {
            faults.push(format!(
                "window.lateness = {:?}: must be at most 1h (default 10s)",
                self.lateness
            ));
        }
        for (name, value, min) in [
            ("history", self.history, 10),
            ("requests", self.requests, 1),
            (
                "history_bytes_max",
                usize::try_from(self.history_bytes_max).unwrap_or(usize::MAX),
                1 << 20,
            ),
            ("spans_waiting_max", self.spans_waiting_max, 1000),
            ("spans_waiting_bytes_max", self.spans_waiting_bytes_max, 1 << 20),
            ("remembered_max", self.remembered_max, 1000),
            ("open_intervals_max", self.open_intervals_max, 4),
            ("rpcs_max", self.rpcs_max, 10),
            ("operations_max", self.operations_max, 1),
            ("series_max", self.series_max, 100),
            ("service_labels: its length", self.service_labels.len(), 1),
            ("replica_labels: its length", self.replica_labels.len(), 1),
            ("features: its length", self.features.len(), 1),
        ] {
            if value < min {
                faults.push(format!("window.{name} = {value}: must be at least {min}"));
            }
        }
        self.histograms.faults(faults);
        for (i, feature) in self.features.iter().enumerate() {
            if feature.name.is_empty() || feature.metric.is_empty() {
                faults.push(format!("window.features[{i}]: name and metric must not be empty"));
            }
            if feature.per.as_ref().is_some_and(|per| per.kind == MetricKind::Lost) {
                faults.push(format!(
                    "window.features[{i}].per.kind = \"lost\": nothing can be divided by what was lost"
                ));
            }
            if self.features[..i].iter().any(|f| f.name == feature.name) {
                faults.push(format!("window.features[{i}].name = {:?}: given twice", feature.name));
            }
        }
    }

    /// Names of every metric the feature table reads, and of the latency histograms that are read.
    pub fn wanted_metrics(&self) -> std::collections::HashSet<String> {
        self.features
            .iter()
            .flat_map(|f| {
                let divisor = f.per.as_ref().map(|d| d.metric.clone());
                std::iter::once(f.metric.clone()).chain(divisor)
            })
            .chain(histograms::known(&self.histograms).map(|(name, _)| name))
            .collect()
    }
}
