//! `[train]`: when and how the model learns.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Intervals with requests before the first automatic training.
    pub min_intervals: usize,
    /// Event time between automatic trainings.
    #[serde(with = "crate::duration")]
    pub every: Duration,
    /// Newest intervals trained on; older ones are left out.
    pub max_intervals: usize,
    /// Memory the intervals of a training may take; the newest that fit are trained on.
    pub memory_bytes_max: usize,
    /// Seed of weights and noise: the same frames and seed give the same model.
    pub seed: u64,
    /// Weight of the reconstruction from the posterior against the one from the prior (Eq. 8).
    pub alpha: f64,
    /// Weight of the KL divergence (Eq. 6).
    pub beta: f64,
    /// Relative standard error that the targets' quantiles may have: what advice on tracing rests on.
    pub quantile_error: f64,
    /// Training steps with weights shared by all nodes, then with weights of each node's own.
    pub steps: [usize; 2],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_intervals: 120,
            every: Duration::from_secs(30 * 60),
            max_intervals: 5760,
            memory_bytes_max: 512 << 20,
            seed: 7,
            alpha: 0.5,
            beta: 0.2,
            quantile_error: 0.2,
            steps: [800, 400],
        }
    }
}

impl Config {
    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        for (name, value, min) in [
            ("min_intervals", self.min_intervals, 20),
            ("max_intervals", self.max_intervals, 20),
            ("memory_bytes_max", self.memory_bytes_max, 1 << 20),
            ("steps[0]", self.steps[0], 1),
        ] {
            if value < min {
                faults.push(format!("train.{name} = {value}: must be at least {min}"));
            }
        }
        if !(0.0..=1.0).contains(&self.alpha) {
            faults.push(format!("train.alpha = {}: must be between 0 and 1", self.alpha));
        }
        if !(0.02..=0.5).contains(&self.quantile_error) {
            let error = self.quantile_error;
            faults.push(format!("train.quantile_error = {error}: must be between 0.02 and 0.5"));
        }
        if !(self.beta > 0.0 && self.beta.is_finite()) {
            faults.push(format!("train.beta = {}: must be positive", self.beta));
        }
    }
}
