//! Is a service slow by itself? Its latency against what its normal self would need with the same
//! callees, judged by how much that varies while QoS is met.

use serde::{Deserialize, Serialize};

use super::infer::Levels;
use super::layout::LEVEL_COUNT;
use crate::stats::centre_and_spread;

/// Smallest deviation that is believed, in log units.
const SIGMA_MIN: f64 = 0.03;

/// Centre and deviation of the two views while QoS is met.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calm {
    whole: (f64, f64),
    tail: (f64, f64),
}

/// How far all levels, and the tail alone, of the slowest RPC of a service are above normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excess {
    whole: f64,
    tail: f64,
}

impl Excess {
    /// The largest over the RPCs a service serves; `None` when none was seen.
    pub fn of(served: impl Iterator<Item = Levels>) -> Option<Self> {
        served
            .map(|levels| {
                let mean = |from: usize| {
                    let part = &levels[from..];
                    f64::from(part.iter().sum::<f32>()) / part.len() as f64
                };
                Self { whole: mean(0), tail: mean(LEVEL_COUNT - 3) }
            })
            .reduce(|a, b| Self { whole: a.whole.max(b.whole), tail: a.tail.max(b.tail) })
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

    /// Robust z-score of an excess.
    pub fn score(&self, excess: Excess) -> f64 {
        let z = |value: f64, (middle, sigma): (f64, f64)| (value - middle) / sigma;
        z(excess.whole, self.whole).max(z(excess.tail, self.tail))
    }
}
