//! What Sage says about an alert. Field names are part of the outside contract.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alert::Alert;
use super::feature::Resource;
use super::time::{EventTime, Interval};

/// How far a diagnosis has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiagnosisState {
    /// Accepted and journalled.
    Running,
    /// Answered.
    Done,
    /// An internal error kept it from being answered.
    Failed,
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Counterfactuals name at least one culprit.
    RootCause,
    /// No closed interval in the alert's range violates the target.
    QosMet,
    /// A violation that no counterfactual removes.
    Unexplained,
    /// No trained model yet; the robust baseline is all there is.
    NoModel,
    /// No closed interval, or no spans of the service, in the alert's range.
    NotEnoughData,
}

/// The violated target and what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QosObservation {
    /// Entry service.
    pub service: String,
    /// Quantile in (0, 1).
    pub quantile: f64,
    /// Target, milliseconds.
    pub target_ms: f64,
    /// Observed, milliseconds.
    pub observed_ms: f64,
}

/// One metric of a culprit beside its normal value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricEvidence {
    /// Feature name.
    pub name: String,
    /// Level in the violating intervals.
    pub observed: f64,
    /// Level when QoS was met.
    pub normal: f64,
}

/// A culprit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootCause {
    /// Service.
    pub service: String,
    /// Resource; `None` means not a resource the metrics show (paper 7.4).
    pub resource: Option<Resource>,
    /// Probability of meeting QoS had this service been normal, the other root causes too.
    pub probability: f64,
    /// End-to-end latency had this service been normal, milliseconds.
    pub counterfactual_ms: f64,
    /// Evidence, strongest first.
    pub metrics: Vec<MetricEvidence>,
    /// Replicas that stand out.
    pub replicas: Vec<String>,
    /// Their hosts.
    pub nodes: Vec<String>,
}

/// The service-level counterfactual of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceScore {
    /// Service.
    pub service: String,
    /// End-to-end latency had this service alone been normal, milliseconds.
    pub counterfactual_ms: f64,
    /// Probability of meeting QoS then; zero for a service that is as fast as always.
    pub probability: f64,
    /// Largest robust z-score of its metrics.
    pub abnormality: f64,
}

/// One hop on the way from the entry to the culprit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathStep {
    /// RPC.
    pub rpc: String,
    /// Latency seen, at the quantile of the target.
    pub observed_ms: f64,
    /// Latency when QoS was met.
    pub normal_ms: f64,
    /// Latency had the root causes been normal.
    pub counterfactual_ms: f64,
}

/// Score of the robust baseline (median and IQR, as BARO), for comparison and for cold starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineScore {
    /// Service.
    pub service: String,
    /// Largest deviation of its metrics and latencies, in interquartile ranges.
    pub score: f64,
}

/// The model that answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRef {
    /// Identity.
    pub id: String,
    /// Event time of the newest interval it was trained on.
    pub trained_at: EventTime,
    /// Goodness of fit on held-back intervals.
    pub r2: f64,
}

/// News about a diagnosis.
#[derive(Clone, Debug)]
pub enum DiagnosisUpdate {
    /// It began, or came to an answer.
    Changed(Box<Diagnosis>),
    /// Its alert has ended.
    Resolved {
        /// Identity of the diagnosis.
        id: String,
        /// The alert as it ended.
        alert: Box<Alert>,
    },
    /// Something is done about it, or could be.
    Acted {
        /// Identity of the diagnosis.
        id: String,
        /// What, in words.
        text: String,
    },
}

/// The answer to one alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Identity; stable over re-deliveries of the alert.
    pub id: String,
    /// Progress.
    pub state: DiagnosisState,
    /// Result; `None` while running.
    pub outcome: Option<Outcome>,
    /// The alert that asked.
    pub alert: Alert,
    /// Hull of the intervals that were diagnosed.
    pub interval: Option<Interval>,
    /// Target and observation.
    pub qos: Option<QosObservation>,
    /// Culprits, most effective first.
    pub root_causes: Vec<RootCause>,
    /// Every service's own counterfactual.
    pub services: Vec<ServiceScore>,
    /// From the entry to the first culprit.
    pub path: Vec<PathStep>,
    /// Robust baseline, best first.
    pub robust_baseline: Vec<BaselineScore>,
    /// Share of RPC halves that could be placed in the graph.
    pub graph_completeness: f64,
    /// The model that answered.
    pub model: Option<ModelRef>,
    /// Time the diagnosis took.
    pub took_ms: f64,
    /// The same in words.
    pub text: String,
    /// Why it failed, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What else a reader may want to know (bounded), for example which target was assumed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

/// The note of a diagnosis that was shortened.
const SHORTENED: &str = "shortened";

impl Diagnosis {
    /// What it takes in memory, about.
    pub fn held_bytes(&self) -> usize {
        fn sum<T>(all: &[T], texts: impl Fn(&T) -> usize) -> usize {
            all.iter().map(|one| size_of::<T>() + texts(one)).sum()
        }
        let cause = |c: &RootCause| {
            let names = sum(&c.replicas, String::len) + sum(&c.nodes, String::len);
            c.service.len() + names + sum(&c.metrics, |m| m.name.len())
        };
        let notes = self.notes.iter().map(|(name, text)| name.len() + text.len() + 64);
        size_of::<Self>()
            + self.alert.held_bytes()
            + sum(&self.root_causes, cause)
            + sum(&self.services, |s| s.service.len())
            + sum(&self.path, |step| step.rpc.len())
            + sum(&self.robust_baseline, |s| s.service.len())
            + self.id.len()
            + self.text.len()
            + self.error.as_ref().map_or(0, String::len)
            + notes.sum::<usize>()
    }

    /// Whether what it says of every single service was left out.
    pub fn is_short(&self) -> bool {
        self.notes.contains_key(SHORTENED)
    }

    /// Leaves out what it says of every single service, which is most of it, and notes that.
    pub fn shorten(&mut self) {
        (self.services, self.robust_baseline) = (Vec::new(), Vec::new());
        let why = "services and robust_baseline were left out: there is no more room for diagnoses";
        self.notes.insert(SHORTENED.into(), why.into());
    }
}
