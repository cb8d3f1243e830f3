//! Goodness of fit on frames the model was not trained on (paper 6.1.1), by linfa's metrics.

use linfa::prelude::SingleTargetRegression;
use ndarray::Array1;

use super::dataset::levels;
use super::infer::Levels;
use super::layout::{Kind, LEVEL_COUNT, to_ms};
use super::predict::Model;
use crate::data::Frame;
use crate::graph::Quality;

/// Measures `model` on `frames`.
pub(super) fn measure(model: &Model, frames: &[&Frame]) -> Quality {
    let (by_rpc, prior) = predictions(model, frames);
    let mut all = Pairs::default();
    for pairs in &by_rpc {
        all.predicted.extend(&pairs.predicted);
        all.truth.extend(&pairs.truth);
    }
    let (ms_predicted, ms_truth) = (all.in_ms(&all.predicted), all.in_ms(&all.truth));
    // Nothing to compare is no error.
    let mse = ms_predicted.mean_squared_error(&ms_truth).unwrap_or(0.0);
    Quality {
        r2: r2(&ms_predicted, &ms_truth),
        r2_log: all.r2(),
        r2_prior: prior.r2(),
        rmse_ms: mse.sqrt(),
        by_rpc: by_rpc.iter().map(Pairs::r2).collect(),
    }
}

/// R² in log space of what varies within each RPC and level, over the RPCs that are `chosen`. That one
/// RPC is slower than another is no merit of a model. `None` when nothing varies.
pub(super) fn within_r2(model: &Model, frames: &[&Frame], chosen: &[bool]) -> Option<f64> {
    let (by_rpc, _) = predictions(model, frames);
    let (mut error, mut spread) = (0.0, 0.0);
    for (pairs, _) in by_rpc.iter().zip(chosen).filter(|(_, is_chosen)| **is_chosen) {
        for level in 0..LEVEL_COUNT {
            let of = |all: &[f64]| -> Vec<f64> {
                all.iter().skip(level).step_by(LEVEL_COUNT).copied().collect()
            };
            let (predicted, truth) = (of(&pairs.predicted), of(&pairs.truth));
            let mean = truth.iter().sum::<f64>() / truth.len().max(1) as f64;
            error += predicted.iter().zip(&truth).map(|(p, t)| (p - t).powi(2)).sum::<f64>();
            spread += truth.iter().map(|t| (t - mean).powi(2)).sum::<f64>();
        }
    }
    (spread > 0.0).then_some(1.0 - error / spread)
}

/// Server latencies as reconstructed from posterior latents, by RPC, and from prior ones, all together.
fn predictions(model: &Model, frames: &[&Frame]) -> (Vec<Pairs>, Pairs) {
    let rpcs = model.net.rpcs.len();
    let mut by_rpc: Vec<Pairs> = vec![Pairs::default(); rpcs];
    let mut prior = Pairs::default();
    for frame in frames {
        let (seen, _) = model.look_at(frame);
        let predict = |tiers: &[super::infer::Tier]| -> Vec<Levels> {
            (0..rpcs).map(|i| model.evaluator.predict_server(i, &seen.observed, tiers)).collect()
        };
        let (from_posterior, from_prior) = (predict(&seen.tiers), predict(&seen.prior_tiers()));
        for i in (0..rpcs).filter(|i| seen.observed.seen[*i]) {
            let truth = levels(&seen.observed, Kind::Server, i);
            by_rpc[i].extend(&from_posterior[i], &truth);
            prior.extend(&from_prior[i], &truth);
        }
    }
    (by_rpc, prior)
}

/// Predicted and true log latencies.
#[derive(Clone, Debug, Default)]
struct Pairs {
    predicted: Vec<f64>,
    truth: Vec<f64>,
}

impl Pairs {
    fn extend(&mut self, predicted: &[f32], truth: &[f32]) {
        self.predicted.extend(predicted.iter().map(|v| f64::from(*v)));
        self.truth.extend(truth.iter().map(|v| f64::from(*v)));
    }

    fn r2(&self) -> f64 {
        r2(&Array1::from(self.predicted.clone()), &Array1::from(self.truth.clone()))
    }

    fn in_ms(&self, logs: &[f64]) -> Array1<f64> {
        logs.iter().map(|l| f64::from(to_ms(*l as f32))).collect()
    }
}

/// R², zero when there is nothing to compare or nothing varies.
fn r2(predicted: &Array1<f64>, truth: &Array1<f64>) -> f64 {
    predicted.r2(truth).ok().filter(|v| v.is_finite()).unwrap_or(0.0)
}
