//! The values that travel between stages. No I/O, no async, no locks, no imports of ours.

mod alert;
mod diagnosis;
mod feature;
mod fix;
mod fix_record;
mod frame;
mod labels;
mod model_status;
mod name;
mod outside;
mod percentile;
mod qos;
mod sample;
mod samples;
mod saved_model;
mod span;
mod telemetry;
mod time;

pub use alert::{Alert, AlertKey, AlertStatus};
pub use diagnosis::{
    BaselineScore, Diagnosis, DiagnosisState, DiagnosisUpdate, MetricEvidence, ModelRef, Outcome,
    PathStep, QosObservation, RootCause, ServiceScore,
};
pub use feature::{Divisor, FeatureSpec, MetricKind, Resource, Role, Scale, Scope, Signal};
pub use fix::{Fix, FixId, Knob, Target, Value};
pub use fix_record::{
    ActMode, ActionKind, Afterwards, Change, FixProblem, FixRecord, FixState, FixStep, FixWish,
    Rung, Watch,
};
pub use frame::{FeatureWindow, Frame, Replica, ReplicaWindow, RpcKind, RpcWindow, ServiceWindow};
pub use labels::{Labels, pack};
pub use model_status::{
    FeatureUse, ModelState, ModelStatus, NodeQuality, SamplingAdvice, TrainingDone, TrainingKind,
};
pub use name::{ANY_OP, Name, OVERFLOW, RpcKey, USER};
pub use outside::{Edit, Fact, Outside, Runner};
pub use percentile::{LEVELS, Percentiles};
pub use qos::{QosTarget, mixture_quantile};
pub use sample::{Histogram, ResetHint, STALE_NAN_BITS, Sample, Series};
pub use samples::Samples;
pub use saved_model::SavedModel;
pub use span::{Half, Peer, PeerKind, Span};
pub use telemetry::Telemetry;
pub use time::{EventTime, Interval};
