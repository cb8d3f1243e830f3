//! Is a service slow by itself? The latency of each RPC it serves against what its normal self would
//! need with the same callees, judged by how much that varies while QoS is met.
//!
//! Each RPC is judged by its own past: one that is called rarely varies much, and would hide another
//! that does not. The slowest then speaks for the service, judged by how slow the slowest of so many
//! usually is.

use serde::{Deserialize, Serialize};

use super::infer::Levels;
use super::layout::LEVEL_COUNT;
use super::shift::moved;
use crate::stats::{centre_and_spread, median};

/// Smallest deviation that is believed, in log units.
const SIGMA_MIN: f64 = 0.03;

/// Centre and deviation of the two views of one RPC while QoS is met.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calm {
    whole: (f64, f64),
    tail: (f64, f64),
}

/// How far all levels of an RPC, and its tail alone, are above normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excess {
    whole: f64,
    tail: f64,
}

/// Centre and deviation of the largest score among a service's RPCs while QoS is met.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slowest {
    centre: f64,
    sigma: f64,
}

impl From<&Levels> for Excess {
    fn from(levels: &Levels) -> Self {
        let mean = |from: usize| {
            let part = &levels[from..];
            f64::from(part.iter().sum::<f32>()) / part.len() as f64
        };
        Self { whole: mean(0), tail: mean(LEVEL_COUNT - 3) }
    }
}

impl Calm {
    /// Learns from calm frames. Without any, everything counts as usual.
    pub fn fit(calm: &[Excess]) -> Self {
        let fit = |pick: fn(&Excess) -> f64| {
            let values: Vec<f64> = calm.iter().map(pick).collect();
            centre_and_spread(&values).map_or((0.0, f64::MAX), |(m, s)| (m, s.max(SIGMA_MIN)))
        };
        Self { whole: fit(|e| e.whole), tail: fit(|e| e.tail) }
    }

    /// The same deviations around a centre that has moved as far as `calm` says.
    pub(super) fn moved(&self, calm: &[Excess]) -> Self {
        let centre = |(middle, sigma): (f64, f64), pick: fn(&Excess) -> f64| {
            let moves: Vec<f64> = calm.iter().map(|e| pick(e) - middle).collect();
            (middle + moved(&moves, sigma), sigma)
        };
        Self { whole: centre(self.whole, |e| e.whole), tail: centre(self.tail, |e| e.tail) }
    }

    /// What is usual among RPCs: for one of which too little was seen.
    pub(super) fn typical(all: &[Self]) -> Self {
        let sigma = |pick: fn(&Self) -> f64| median(all.iter().map(pick)).unwrap_or(f64::MAX);
        Self { whole: (0.0, sigma(|c| c.whole.1)), tail: (0.0, sigma(|c| c.tail.1)) }
    }

    /// Robust z-score of an excess.
    pub fn score(&self, excess: Excess) -> f64 {
        let z = |value: f64, (middle, sigma): (f64, f64)| (value - middle) / sigma;
        z(excess.whole, self.whole).max(z(excess.tail, self.tail))
    }
}

impl Slowest {
    /// Learns from the largest score in each calm frame.
    pub fn fit(calm: &[f64]) -> Self {
        let (centre, sigma) = centre_and_spread(calm).unwrap_or_default();
        // The slowest of many varies less than each of them, which makes no trifle extraordinary.
        Self { centre, sigma: sigma.max(1.0) }
    }

    /// The same deviation around a centre that has moved as far as the largest scores in `calm` frames say.
    pub(super) fn moved(&self, calm: &[f64]) -> Self {
        let moves: Vec<f64> = calm.iter().map(|z| z - self.centre).collect();
        Self { centre: self.centre + moved(&moves, self.sigma), sigma: self.sigma }
    }

    /// What is usual among services: for one of which too little was seen.
    pub(super) fn typical(all: &[Self]) -> Self {
        let middle = |pick: fn(&Self) -> f64| median(all.iter().map(pick));
        Self {
            centre: middle(|s| s.centre).unwrap_or(0.0),
            sigma: middle(|s| s.sigma).unwrap_or(1.0),
        }
    }

    /// Robust z-score of the largest score.
    pub fn score(&self, largest: f64) -> f64 {
        (largest - self.centre) / self.sigma
    }
}
