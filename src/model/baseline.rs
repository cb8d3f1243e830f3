//! The normal of every metric at every service, from intervals that met QoS, and what load and work in flight explain
//! of it.

use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use super::features::Feature;
use super::load::LoadFit;
use super::pressure::{Pressure, Rises};
use crate::data::Signal;
use crate::stats::{centre_and_spread, median, quantile};

/// A robust deviation is never taken to be smaller than this, in log units: a metric that hardly
/// ever moves is not abnormal when it moves by two percent.
const DEVIATION_MIN: f64 = 0.02;
/// Share of all intervals, and of the calm ones, below whose highest levels a metric stays.
const HIGH: f64 = 0.995;
const CALM_HIGH: f64 = 0.99;

/// Normal of one feature at one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    /// Median of the log level.
    pub(super) median: f64,
    /// Robust deviation of the load-free log level.
    pub(super) sigma: f64,
    /// What the load explains.
    pub(super) load: LoadFit,
    /// What work in flight explains; nothing for shortages, which no request causes by waiting.
    pub(super) pressure: Pressure,
    /// Highest log level of all intervals, but for one in two hundred.
    pub(super) high: f64,
    /// The same of the intervals that met QoS, but for one in a hundred.
    pub(super) calm_high: f64,
}

impl Baseline {
    /// Deviation of a log level from its median that work in flight does not explain.
    pub(super) fn deviation(&self, log_level: f64, in_flight: f64) -> f64 {
        log_level - self.median - self.pressure.at(in_flight).0
    }

    /// Deviation from normal once load and work in flight are accounted for, in robust standard
    /// deviations.
    pub(super) fn score(&self, log_level: f64, load: f64, in_flight: f64) -> f64 {
        let (usual, deviation) = self.pressure.at(in_flight);
        (log_level - self.load.at(load) - usual) / self.sigma.max(deviation)
    }
}

/// Baselines of every service and feature, from frames that met QoS.
pub(super) fn fit_baselines(
    levels: &Array3<f64>,
    load: &Array2<f64>,
    met: &[bool],
    features: &[Feature],
) -> Vec<Vec<Option<Baseline>>> {
    let (services, _, frames) = levels.dim();
    let calm: Vec<usize> = (0..frames).filter(|t| met[*t]).collect();
    let fit = |j: usize, f: usize| {
        let pairs: Vec<(f64, f64)> = calm
            .iter()
            .map(|t| (load[[j, *t]], levels[[j, f, *t]]))
            .filter(|(_, v)| v.is_finite())
            .collect();
        let middle = median(pairs.iter().map(|(_, v)| *v))?;
        let load = LoadFit::fit(&pairs, middle);
        let rest: Vec<f64> = pairs.iter().map(|(l, v)| v - load.at(*l)).collect();
        let (_, sigma) = centre_and_spread(&rest)?;
        let all = (0..frames).map(|t| levels[[j, f, t]]).filter(|v| v.is_finite());
        let high = quantile(all, HIGH)?;
        let calm_high = quantile(pairs.iter().map(|(_, v)| *v), CALM_HIGH)?;
        let pressure = Pressure::default();
        Some(Baseline { median: middle, sigma, load, pressure, high, calm_high })
    };
    let mut baselines: Vec<Vec<Option<Baseline>>> =
        (0..services).map(|j| (0..features.len()).map(|f| fit(j, f)).collect()).collect();
    // A service whose metric happens to stand still is as noisy as half of what is usual.
    for f in 0..features.len() {
        let usual = median(baselines.iter().filter_map(|b| Some(b[f].as_ref()?.sigma)));
        let floor = (usual.unwrap_or(0.0) / 2.0).max(DEVIATION_MIN);
        for b in baselines.iter_mut().filter_map(|b| b[f].as_mut()) {
            b.sigma = b.sigma.max(floor);
        }
    }
    baselines
}

/// Learns what of each usage metric work in flight explains, from where it `waits` for others if that happens often
/// enough: of every service, or of all where one has seen too little.
pub(super) fn fit_pressure(
    baselines: &mut [Vec<Option<Baseline>>],
    levels: &Array3<f64>,
    load: &Array2<f64>,
    (heat, waits): (&Array2<f64>, &Array2<bool>),
    features: &[Feature],
) {
    let usage = features.iter().enumerate().filter(|(_, f)| f.signal == Signal::Usage);
    for (f, _) in usage {
        let rises: Vec<Rises> = (0..baselines.len())
            .map(|j| {
                let Some(b) = &baselines[j][f] else { return Rises::default() };
                let rise = |t: usize| levels[[j, f, t]] - b.load.at(load[[j, t]]);
                let all = (0..levels.dim().2).map(|t| (waits[[j, t]], (heat[[j, t]], rise(t))));
                let all: Vec<_> = all.filter(|(_, (_, rise))| rise.is_finite()).collect();
                let waiting = all.iter().filter(|(waits, _)| *waits).map(|(_, pair)| *pair);
                Rises { waiting: waiting.collect(), all: all.iter().map(|(_, p)| *p).collect() }
            })
            .collect();
        let pooled =
            |of: fn(&Rises) -> &Vec<(f64, f64)>| rises.iter().flat_map(of).copied().collect();
        let everybody = Rises { waiting: pooled(|r| &r.waiting), all: pooled(|r| &r.all) };
        let everybody = Pressure::fit(&everybody, None);
        for (own, b) in rises.iter().zip(baselines.iter_mut()) {
            if let Some(b) = &mut b[f] {
                b.pressure = Pressure::fit(own, Some(&everybody));
            }
        }
    }
}
