//! `[window.histograms]`: which conventions are read, and limits.

use serde::{Deserialize, Serialize};

/// Which latency histograms stand in for spans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `traces_service_graph_request_*`: Tempo, Alloy, the collector's service graph connector.
    pub service_graph: bool,
    /// `traces_spanmetrics_latency`, `traces_span_metrics_duration_*`, `duration_*`.
    pub span_metrics: bool,
    /// `istio_request_duration_milliseconds`.
    pub istio: bool,
    /// `response_latency_ms`.
    pub linkerd: bool,
    /// Histograms followed, each with all its buckets.
    pub histograms_max: usize,
    /// Bytes that all of them may take.
    pub bytes_max: usize,
    /// Buckets of one histogram.
    pub buckets_max: usize,
    /// Callers that are the outside world.
    pub outside: Vec<String>,
    /// Labels of a client's span metrics that name the service it calls, best first.
    pub peer_labels: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let strings = |names: &[&str]| names.iter().map(|n| (*n).to_string()).collect();
        Self {
            service_graph: true,
            span_metrics: true,
            istio: true,
            linkerd: true,
            histograms_max: 20_000,
            bytes_max: 128 << 20,
            buckets_max: 200,
            outside: strings(&["unknown"]),
            peer_labels: strings(&["peer_service", "db_name", "server_address"]),
        }
    }
}

impl Config {
    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        for (name, value, min) in [
            ("histograms_max", self.histograms_max, 10),
            ("bytes_max", self.bytes_max, 1 << 20),
            ("buckets_max", self.buckets_max, 4),
        ] {
            if value < min {
                faults.push(format!("window.histograms.{name} = {value}: must be at least {min}"));
            }
        }
    }
}
