//! Health of the model.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::predict::Model;
use crate::data::{SamplingAdvice, TrainingDone, TrainingKind};
use crate::observe::Registry;

type Float = Gauge<f64, AtomicU64>;

/// Trainings and fit.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// 1 while a model is being trained.
    pub training: Gauge,
    trained: Counter,
    /// Trainings that failed or gave a worse model.
    pub failed: Counter,
    /// 1 while a higher trace sampling ratio is advised.
    converging: Gauge,
    trace_ratio: Float,
    partial: Counter,
    training_seconds: Float,
    services: Gauge,
    r2: Float,
    rmse_seconds: Float,
    trained_at: Gauge,
    intervals: Gauge,
    parameters: Gauge,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        let r = registry.sub_registry_with_prefix("sage_model");
        r.register("training", "1 while a model is being trained", m.training.clone());
        r.register("trained", "Models put to use", m.trained.clone());
        r.register("failed", "Trainings that gave no usable model", m.failed.clone());
        r.register(
            "partial",
            "Models put to use that a change had partly retrained",
            m.partial.clone(),
        );
        r.register(
            "converging",
            "1 while a higher trace sampling ratio is advised",
            m.converging.clone(),
        );
        r.register(
            "trace_ratio",
            "Share of the requests that should be traced, zero while that cannot be told",
            m.trace_ratio.clone(),
        );
        r.register(
            "training_seconds",
            "Duration of the training that gave the model in use",
            m.training_seconds.clone(),
        );
        r.register(
            "training_services",
            "Services trained in the training that gave the model in use",
            m.services.clone(),
        );
        r.register("r2_ratio", "R squared on held-back intervals", m.r2.clone());
        r.register("rmse_seconds", "RMSE on held-back intervals", m.rmse_seconds.clone());
        r.register(
            "trained_timestamp_seconds",
            "End of the newest interval trained on, seconds since the epoch",
            m.trained_at.clone(),
        );
        r.register("intervals", "Intervals trained on", m.intervals.clone());
        r.register("parameters", "Parameters of the model", m.parameters.clone());
        m
    }

    /// A training gave the model in use.
    pub(super) fn trained(&self, done: &TrainingDone) {
        self.trained.inc();
        if done.kind == TrainingKind::Partial {
            self.partial.inc();
        }
        self.training_seconds.set(done.seconds);
        self.services.set(signed(done.services));
    }

    /// What is advised about tracing.
    pub(super) fn advised(&self, advice: &SamplingAdvice, wants_more: bool) {
        self.converging.set(i64::from(wants_more));
        self.trace_ratio.set(advice.trace_ratio.unwrap_or(0.0));
    }

    pub(super) fn show(&self, model: &Model) {
        self.r2.set(model.quality.r2);
        self.rmse_seconds.set(model.quality.rmse_ms / 1000.0);
        self.trained_at.set(model.trained_at.0 / 1000);
        self.intervals.set(signed(model.intervals));
        self.parameters.set(signed(model.evaluator.network.parameters()));
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
