//! What the API says about the model.

use serde::Serialize;

use super::time::EventTime;

/// What the model is doing. The names are part of the outside contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelState {
    /// There is none, and nothing is under way.
    #[default]
    None,
    /// One is being trained; an older one may be in use meanwhile.
    Training,
    /// One is in use.
    Ready,
    /// The last training failed and there is none.
    Failed,
}

/// Fit of one RPC.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeQuality {
    /// RPC.
    pub rpc: String,
    /// R² of its server latency in log space, on held-back intervals.
    pub r2: f64,
}

/// One metric the model knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureUse {
    /// Feature.
    pub feature: String,
    /// Resource.
    pub resource: String,
    /// Whether it is used: metrics that follow latency instead of causing it are not.
    pub used: bool,
}

/// What a training was about. The names are part of the outside contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainingKind {
    /// A new model from scratch.
    Full,
    /// The services a change affects, from what they were.
    Partial,
}

/// A training that gave the model in use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingDone {
    /// What it was about.
    pub kind: TrainingKind,
    /// Why it took place.
    pub reason: String,
    /// Services that were trained.
    pub services: usize,
    /// Seconds it took.
    pub seconds: f64,
}

/// Advice about the share of the requests that should be traced. The names are part of the outside
/// contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SamplingAdvice {
    /// Share to trace, 0 to 1: as many as tell the targets' quantiles, or all of them while there is something to
    /// learn; `null` without requests to tell that from.
    pub trace_ratio: Option<f64>,
    /// Why.
    pub reason: String,
    /// Event time until which this holds; `null`: until further notice.
    pub until: Option<EventTime>,
    /// Share that is traced now, as samplers say in the `tracestate` of spans; 1 where they say nothing.
    pub seen_ratio: Option<f64>,
}

/// State and fit of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelStatus {
    /// What it is doing.
    pub state: ModelState,
    /// Share of the current training that is done.
    pub progress: f32,
    /// Identity of the model in use.
    pub id: Option<String>,
    /// End of the newest interval it was trained on.
    pub trained_at: Option<EventTime>,
    /// Intervals it was trained on.
    pub intervals: Option<usize>,
    /// R² on held-back intervals, milliseconds.
    pub r2: Option<f64>,
    /// R² in log space.
    pub r2_log: Option<f64>,
    /// R² in log space from metrics and callees alone.
    pub r2_prior: Option<f64>,
    /// RMSE on held-back intervals.
    pub rmse_ms: Option<f64>,
    /// Parameters.
    pub parameters: Option<usize>,
    /// Fit by RPC.
    pub nodes: Vec<NodeQuality>,
    /// Metrics it knows.
    pub features: Vec<FeatureUse>,
    /// What went wrong the last time.
    pub error: Option<String>,
    /// Trainings finished since the start.
    pub trainings: u64,
    /// How the model in use came about; `null` when it is of an earlier run.
    pub last_training: Option<TrainingDone>,
    /// How many requests should be traced.
    pub sampling: SamplingAdvice,
}
