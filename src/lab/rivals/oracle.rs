//! The offline oracle (paper 6.1.2): the best upper threshold of every metric of every tier, chosen
//! with hindsight over labelled intervals.
//!
//! The latency of a tier counts as one more metric, which stands for everything that is not a
//! resource: otherwise the oracle could not find bugs. A metric that never was to blame gets a
//! threshold it never exceeded.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rival::{Accused, Past, Rival};
use super::view::{latencies, metrics};
use crate::data::{Frame, Name, Resource};
use crate::stats::centre_and_spread;

/// Tier, and its metric; its latency when there is none.
type Metric = (Name, Option<Name>);

/// The oracle.
#[derive(Debug)]
pub(super) struct Oracle {
    limits: BTreeMap<Metric, Limit>,
    quantile: f64,
}

/// A threshold.
#[derive(Clone, Copy, Debug)]
struct Limit {
    above: f64,
    /// What an excess is measured in.
    spread: f64,
}

impl Oracle {
    /// Chooses the thresholds.
    pub(super) fn learn(past: &Past<'_>) -> Self {
        let quantile = past.target.quantile;
        let mut columns: BTreeMap<Metric, Vec<(f64, bool)>> = BTreeMap::new();
        for (frame, to_blame) in past.labelled() {
            for (metric, resource, value) in readings(frame, quantile) {
                let is_to_blame = to_blame.iter().any(|(s, r)| **s == *metric.0 && *r == resource);
                columns.entry(metric).or_default().push((value, is_to_blame));
            }
        }
        let limit = |(metric, column): (Metric, Vec<(f64, bool)>)| {
            let values: Vec<f64> = column.iter().map(|(v, _)| *v).collect();
            let (centre, spread) = centre_and_spread(&values)?;
            let spread = spread.max(0.02 * centre.abs()).max(1e-9);
            Some((metric, Limit { above: best_threshold(column), spread }))
        };
        Self { limits: columns.into_iter().filter_map(limit).collect(), quantile }
    }
}

impl Rival for Oracle {
    fn name(&self) -> &'static str {
        "Oracle"
    }

    fn accuse(&self, frames: &[Arc<Frame>]) -> Accused {
        let Some(now) = frames.last() else { return Vec::new() };
        let mut worst: BTreeMap<(String, Option<Resource>), f64> = BTreeMap::new();
        for (metric, resource, value) in readings(now, self.quantile) {
            let Some(limit) = self.limits.get(&metric) else { continue };
            if value > limit.above {
                let excess = worst.entry((metric.0.to_string(), resource)).or_default();
                *excess = excess.max((value - limit.above) / limit.spread);
            }
        }
        let mut accused: Vec<_> = worst.into_iter().collect();
        accused.sort_by(|a, b| b.1.total_cmp(&a.1));
        accused.into_iter().map(|(accused, _)| accused).collect()
    }
}

/// Every metric that can have a threshold.
fn readings(frame: &Frame, quantile: f64) -> Vec<(Metric, Option<Resource>, f64)> {
    let metrics = metrics(frame).map(|(service, feature, resource)| {
        ((service.clone(), Some(feature.name.clone())), Some(resource), feature.level())
    });
    let latencies = latencies(frame, quantile).into_iter().map(|(s, ms)| ((s, None), None, ms));
    metrics.chain(latencies).collect()
}

/// The threshold with the best F1 score over (value, whether it was to blame), half way between two
/// values, among those that are right at least as often as wrong; the largest value when there is none.
pub(super) fn best_threshold(mut column: Vec<(f64, bool)>) -> f64 {
    column.sort_by(|a, b| b.0.total_cmp(&a.0));
    let all = column.iter().filter(|(_, is_to_blame)| *is_to_blame).count();
    let mut best = (0.0, column.first().map_or(f64::INFINITY, |(value, _)| *value));
    let mut right = 0;
    for (i, (value, is_to_blame)) in column.iter().enumerate() {
        right += usize::from(*is_to_blame);
        let below = column.get(i + 1).map_or(f64::NEG_INFINITY, |(below, _)| *below);
        let f1 = 2.0 * right as f64 / (i + 1 + all) as f64;
        let is_mostly_right = 2 * right > i;
        if *value > below && is_mostly_right && f1 > best.0 {
            let between = if below.is_finite() { f64::midpoint(*value, below) } else { below };
            best = (f1, between);
        }
    }
    best.1
}
