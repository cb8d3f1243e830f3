//! Goodness of fit on frames the model was not trained on (paper 6.1.1), by linfa's metrics.

use linfa::prelude::SingleTargetRegression;
use ndarray::Array1;

use super::dataset::levels;
use super::infer::Levels;
use super::layout::{Kind, to_ms};
use super::predict::Model;
use crate::data::Frame;
use crate::graph::Quality;

/// Measures `model` on `frames`.
pub(super) fn measure(model: &Model, frames: &[&Frame]) -> Quality {
    let rpcs = model.net.rpcs.len();
    let mut by_rpc: Vec<Pairs> = vec![Pairs::default(); rpcs];
    let mut prior = Pairs::default();
    for frame in frames {
        let (seen, _) = model.abduct(frame);
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
    let mut all = Pairs::default();
    for pairs in &by_rpc {
        all.predicted.extend(&pairs.predicted);
        all.truth.extend(&pairs.truth);
    }
    let (ms_predicted, ms_truth) = (all.in_ms(&all.predicted), all.in_ms(&all.truth));
    Quality {
        r2: r2(&ms_predicted, &ms_truth),
        r2_log: all.r2(),
        r2_prior: prior.r2(),
        rmse_ms: ms_predicted.mean_squared_error(&ms_truth).unwrap_or(f64::NAN).sqrt(),
        by_rpc: by_rpc.iter().map(Pairs::r2).collect(),
    }
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
