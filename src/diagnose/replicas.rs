//! Which replicas of a culprit it is about: those that a metric, or the requests they served, sets apart.

use std::collections::BTreeMap;

use crate::data::{Frame, Name, Replica};

/// Replicas named at most.
const SHOWN: usize = 10;
/// Standard deviations by which a replica must have served more slow requests than its share, before chance is out
/// of the question.
const CHANCE: f64 = 3.0;

/// Replicas of `service` that stand out by `metric`, or else by their slow requests, in violating `frames`, oldest
/// first, and their hosts; all of them when they are alike.
pub(super) fn outstanding(
    frames: &[&Frame],
    service: &str,
    metric: Option<&Name>,
) -> (Vec<String>, Vec<String>) {
    let (named, is_whole) = by_metric(frames, service, metric);
    let chosen = if is_whole { by_requests(frames, service).unwrap_or(named) } else { named };
    let shown = || chosen.iter().take(SHOWN);
    let mut nodes: Vec<String> =
        shown().filter(|r| !r.node.is_empty()).map(|r| r.node.to_string()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    (shown().map(|r| r.name.to_string()).collect(), nodes)
}

/// By a metric in the newest frame, and whether that is all of them.
fn by_metric<'a>(
    frames: &[&'a Frame],
    service: &str,
    metric: Option<&Name>,
) -> (Vec<&'a Replica>, bool) {
    let Some(window) = frames.last().and_then(|f| f.service(service)) else {
        return (Vec::new(), true);
    };
    let feature = metric.and_then(|name| window.features.iter().find(|f| f.name == *name));
    let value = |r: usize| feature.and_then(|f| f.by_replica.get(r).copied().flatten());
    let most = (0..window.replicas.len()).filter_map(value).fold(0.0, f64::max);
    let stands_out = |r: usize| value(r).is_none_or(|v| v >= most / 2.0);
    let all = window.replicas.iter().enumerate();
    let chosen: Vec<&Replica> = all.filter(|(r, _)| stands_out(*r)).map(|(_, r)| r).collect();
    let is_whole = chosen.len() == window.replicas.len();
    (chosen, is_whole)
}

/// By the share of slow requests; `None` when it is about the same everywhere.
pub(super) fn by_requests<'a>(frames: &[&'a Frame], service: &str) -> Option<Vec<&'a Replica>> {
    let mut all: BTreeMap<&Replica, (f64, f64)> = BTreeMap::new();
    for window in frames.iter().flat_map(|f| &f.replicas).filter(|r| &*r.service == service) {
        let (count, slow) = all.entry(&window.replica).or_default();
        (*count, *slow) = (*count + window.count as f64, *slow + window.slow as f64);
    }
    let (count, slow) = all.values().fold((0.0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let usual = slow / count;
    let is_slow =
        |n: f64, slow: f64| slow - n * usual > CHANCE * (n * usual * (1.0 - usual)).sqrt();
    let struck = all.values().filter(|(n, slow)| is_slow(*n, *slow));
    let most = struck.map(|(n, slow)| slow / n).max_by(f64::total_cmp)?;
    let chosen = all.iter().filter(|(_, (n, slow))| slow / n >= most / 2.0).map(|(r, _)| *r);
    let chosen: Vec<&Replica> = chosen.collect();
    (chosen.len() < all.len()).then_some(chosen)
}
