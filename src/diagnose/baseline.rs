//! The robust baseline: how many interquartile ranges everything about a service is from its median
//! (as BARO, FSE 2024). Needs no model; the answer of a cold start, and a second opinion later.

use std::collections::BTreeMap;

use crate::data::{BaselineScore, Frame};
use crate::stats::{median, quantile};

/// A spread smaller than this share of the median counts as that.
const SPREAD_MIN: f64 = 0.02;

/// Scores every service of `now`, best first. The score of a service is the largest deviation of
/// any of its metrics or of the part of its latency that is its own.
pub(super) fn baseline(now: &[&Frame], normal: &[&Frame]) -> Vec<BaselineScore> {
    let then: Vec<BTreeMap<Series, f64>> = normal.iter().map(|f| values(f)).collect();
    let now: Vec<BTreeMap<Series, f64>> = now.iter().map(|f| values(f)).collect();
    let mut keys: Vec<&Series> = now.iter().flat_map(BTreeMap::keys).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut best: BTreeMap<&str, f64> = BTreeMap::new();
    for key in keys {
        let past: Vec<f64> = then.iter().filter_map(|v| v.get(key)).copied().collect();
        let Some(middle) = median(past.iter().copied()) else { continue };
        let spread = quantile(past.iter().copied(), 0.75).unwrap_or(middle)
            - quantile(past.iter().copied(), 0.25).unwrap_or(middle);
        let spread = spread.max(SPREAD_MIN * middle.abs()).max(1e-9);
        let observed = median(now.iter().filter_map(|v| v.get(key)).copied()).unwrap_or(middle);
        let score = best.entry(&key.0).or_insert(0.0);
        *score = score.max((observed - middle).abs() / spread);
    }
    let mut scores: Vec<BaselineScore> = best
        .into_iter()
        .map(|(service, score)| BaselineScore { service: service.into(), score })
        .collect();
    scores.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.service.cmp(&b.service)));
    scores
}

/// (service, name of the series)
type Series = (String, String);

fn values(frame: &Frame) -> BTreeMap<Series, f64> {
    let mut all = BTreeMap::new();
    for service in &frame.services {
        for feature in &service.features {
            all.insert((service.service.to_string(), feature.name.to_string()), feature.level());
        }
    }
    // Median server latency less what the operation's callees took: the service's own part.
    for rpc in &frame.rpcs {
        let callees: f64 = frame
            .rpcs
            .iter()
            .filter(|k| k.key.caller == rpc.key.callee && k.key.caller_op == rpc.key.op)
            .map(|k| f64::from(k.client.0[0]) * k.count as f64 / rpc.count.max(1) as f64)
            .sum();
        let own = (f64::from(rpc.server.0[0]) - callees).max(0.0);
        all.insert((rpc.key.callee.to_string(), format!("own latency of {}", rpc.key)), own);
    }
    all
}
