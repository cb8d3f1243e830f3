//! What everybody sees of the model.

use std::sync::Arc;

use super::features::Feature;
use super::predict::Model;
use crate::data::{FeatureUse, ModelState, ModelStatus, NodeQuality, SamplingAdvice, TrainingDone};

/// What everybody sees of the model.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What it is doing.
    pub state: ModelState,
    /// Share of the current training that is done.
    pub progress: f32,
    /// The model in use.
    pub model: Option<Arc<Model>>,
    /// What went wrong the last time, until something goes right.
    pub error: Option<String>,
    /// Trainings finished since the start, whatever came of them.
    pub trainings: u64,
    /// How the model in use came about.
    pub last_training: Option<TrainingDone>,
    /// How many requests should be traced.
    pub sampling: SamplingAdvice,
}

impl Status {
    /// What the API says.
    pub fn view(&self) -> ModelStatus {
        let model = self.model.as_deref();
        let quality = model.map(|m| &m.quality);
        ModelStatus {
            state: self.state,
            progress: self.progress,
            id: model.map(|m| m.id.clone()),
            trained_at: model.map(|m| m.trained_at),
            intervals: model.map(|m| m.intervals),
            r2: quality.map(|q| q.r2),
            r2_log: quality.map(|q| q.r2_log),
            r2_prior: quality.map(|q| q.r2_prior),
            rmse_ms: quality.map(|q| q.rmse_ms),
            parameters: model.map(|m| m.evaluator.network.parameters()),
            nodes: model.map(nodes).unwrap_or_default(),
            features: model.map(features).unwrap_or_default(),
            error: self.error.clone(),
            trainings: self.trainings,
            last_training: self.last_training.clone(),
            sampling: self.sampling.clone(),
        }
    }
}

fn nodes(model: &Model) -> Vec<NodeQuality> {
    let fit = model.net.rpcs.iter().zip(&model.quality.by_rpc);
    fit.map(|(rpc, r2)| NodeQuality { rpc: rpc.key.to_string(), r2: *r2 }).collect()
}

fn features(model: &Model) -> Vec<FeatureUse> {
    let of = |f: &Feature| FeatureUse {
        feature: f.name.clone(),
        resource: f.resource.to_string(),
        used: f.kept,
    };
    model.features.features.iter().map(of).collect()
}
