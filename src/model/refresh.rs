//! Normal values after a change: what has changed is learnt anew from a few calm frames, drawn towards
//! what was known by as much as chance explains; everything else keeps what it had.

use super::baseline::Baseline;
use super::features::{FeatureModel, Inputs, log_levels};
use super::load::{LoadFit, load_log, served};
use super::pressure::Pressure;
use super::readings::Readings;
use super::reshape::Matching;
use super::shift::moved;
use crate::data::Frame;
use crate::graph::CausalNet;
use crate::stats::median;

/// Which services of a net a change is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affected {
    /// Services that behave differently, or are new.
    pub changed: Vec<bool>,
    /// Those, everything that waits for them, and whoever serves a new RPC.
    pub trained: Vec<bool>,
    /// RPCs whose network is trained.
    pub nets: Vec<bool>,
}

impl FeatureModel {
    /// Whether what history shows of service `j` is not normal for it any more.
    pub(super) fn has_changed(&self, j: usize) -> bool {
        self.changed.get(j).copied().unwrap_or(false)
    }

    /// Metric inputs of a frame that holds normal values; a service that has changed is at the normal
    /// the model knows.
    pub(super) fn normal_inputs(&self, normal: &Readings) -> Inputs {
        let mut inputs = self.inputs_of(normal);
        for j in (0..normal.loads.len()).filter(|j| self.has_changed(*j)) {
            inputs.server.row_mut(j).fill(0.0);
            inputs.net.row_mut(j).fill(0.0);
        }
        inputs
    }

    /// The same features for `net`, with the baselines of trained services brought up to date by
    /// `calm` frames.
    pub(super) fn refreshed(
        &self,
        net: &CausalNet,
        matching: &Matching,
        affected: &Affected,
        calm: &[&Frame],
    ) -> Self {
        let counts: Vec<Vec<f64>> = calm.iter().map(|f| served(f, net)).collect();
        let services = net.services.len();
        let requests: Vec<f64> = (0..services)
            .map(|j| match matching.services[j] {
                Some(was) if !affected.changed[j] => self.requests[was],
                _ => median(counts.iter().map(|c| c[j])).unwrap_or(0.0),
            })
            .collect();
        let levels = log_levels(calm, net, &self.features);
        let usual: Vec<_> = (0..self.features.len()).map(|f| self.usual_of(f)).collect();
        let load = |j: usize, t: usize| load_log(counts[t][j], requests[j]);
        let baseline = |j: usize, f: usize| -> Option<Baseline> {
            let old = matching.services[j].and_then(|was| self.baselines[was][f].clone());
            if old.is_some() && !affected.trained[j] {
                return old;
            }
            let seen = (0..calm.len()).map(|t| (load(j, t), levels[[j, f, t]]));
            let seen: Vec<(f64, f64)> = seen.filter(|(_, level)| level.is_finite()).collect();
            match old {
                Some(old) => Some(old.moved_to(&seen)),
                None => {
                    let middle = median(seen.iter().map(|(_, level)| *level))?;
                    let load = LoadFit::fit(&seen, middle);
                    let (sigma, pressure) = usual[f].clone();
                    let high = seen.iter().map(|(_, level)| *level).fold(middle, f64::max);
                    let calm_high = high;
                    Some(Baseline { median: middle, sigma, load, pressure, high, calm_high })
                }
            }
        };
        let baselines = (0..services)
            .map(|j| (0..self.features.len()).map(|f| baseline(j, f)).collect())
            .collect();
        let of = (&*matching.services, &*affected.trained);
        let in_flight = self.in_flight.refreshed(calm, net, of, load);
        let had = |j: usize| matching.services[j].is_some_and(|was| self.has_changed(was));
        Self {
            baselines,
            in_flight,
            requests,
            changed: (0..services).map(|j| affected.changed[j] || had(j)).collect(),
            ..self.clone()
        }
    }

    /// How much feature `f` varies at a service, and what work in flight explains of it, among all.
    fn usual_of(&self, f: usize) -> (f64, Pressure) {
        let all = || self.baselines.iter().filter_map(|b| b[f].as_ref());
        let sigma = median(all().map(|b| b.sigma)).unwrap_or(1.0);
        (sigma, Pressure::typical(&all().map(|b| &b.pressure).collect::<Vec<_>>()))
    }
}

impl Baseline {
    /// The same baseline, as far from here as the (load, level) pairs say.
    fn moved_to(self, seen: &[(f64, f64)]) -> Self {
        let moves: Vec<f64> = seen.iter().map(|(l, level)| level - self.load.at(*l)).collect();
        let distance = moved(&moves, self.sigma);
        let [median, high, calm_high] =
            [self.median, self.high, self.calm_high].map(|l| l + distance);
        Self { median, load: self.load.moved(distance), high, calm_high, ..self }
    }
}
