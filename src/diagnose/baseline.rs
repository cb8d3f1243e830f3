//! The robust baseline: how many interquartile ranges everything about a service is from its median
//! (as BARO, FSE 2024). Needs no model; the answer of a cold start, and a second opinion later.

use std::collections::{BTreeMap, HashMap};

use crate::data::{ANY_OP, BaselineScore, Frame, RpcKey};
use crate::stats::{median, quantile};

/// A spread smaller than this share of the median counts as that.
const SPREAD_MIN: f64 = 0.02;
/// And never smaller than this share of the largest normal level at any service.
const SPREAD_MIN_OF_LARGEST: f64 = 0.01;
/// The same of the largest level now, where a metric stood still everywhere until now: it is not
/// infinitely strange when it moves a little.
const SPREAD_MIN_OF_NEW: f64 = 0.1;

/// What is compared: a feature of a service, or the part of an RPC's latency that is its callee's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Series<'a> {
    Feature { service: &'a str, name: &'a str },
    OwnLatency(&'a RpcKey),
}

impl<'a> Series<'a> {
    fn service(&self) -> &'a str {
        match self {
            Self::Feature { service, .. } => service,
            Self::OwnLatency(rpc) => &rpc.callee,
        }
    }

    /// Levels of the same kind can be compared over services.
    fn kind(&self) -> &'a str {
        match self {
            Self::Feature { name, .. } => name,
            Self::OwnLatency(_) => "",
        }
    }
}

/// Scores every service of `now`, best first. The score of a service is the largest deviation of
/// any of its metrics or of the part of its latency that is its own.
pub(super) fn baseline(now: &[&Frame], normal: &[&Frame]) -> Vec<BaselineScore> {
    let (now, then) = (columns(now), columns(normal));
    let (largest_now, largest) = (largest(&now), largest(&then));
    let mut best: BTreeMap<&str, f64> = BTreeMap::new();
    for (series, values) in &now {
        let Some(past) = then.get(series) else { continue };
        let at = |q: f64| quantile(past.iter().copied(), q);
        let (Some(low), Some(middle), Some(high)) = (at(0.25), at(0.5), at(0.75)) else { continue };
        let floor = match largest[series.kind()] {
            0.0 => SPREAD_MIN_OF_NEW * largest_now[series.kind()],
            level => (SPREAD_MIN * middle.abs()).max(SPREAD_MIN_OF_LARGEST * level),
        };
        let floor = floor.max(f64::MIN_POSITIVE);
        let observed = median(values.iter().copied()).unwrap_or(middle);
        let score = best.entry(series.service()).or_insert(0.0);
        *score = score.max((observed - middle).abs() / (high - low).max(floor));
    }
    let mut scores: Vec<BaselineScore> = best
        .into_iter()
        .map(|(service, score)| BaselineScore { service: service.into(), score })
        .collect();
    scores.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.service.cmp(&b.service)));
    scores
}

/// The largest level of each kind at any service.
fn largest<'a>(columns: &HashMap<Series<'a>, Vec<f64>>) -> HashMap<&'a str, f64> {
    let mut largest: HashMap<&str, f64> = HashMap::new();
    for (series, values) in columns {
        let level = largest.entry(series.kind()).or_insert(0.0);
        *level = values.iter().fold(*level, |a, b| a.max(b.abs()));
    }
    largest
}

/// The values of every series, frame by frame.
fn columns<'a>(frames: &[&'a Frame]) -> HashMap<Series<'a>, Vec<f64>> {
    let mut columns: HashMap<Series<'a>, Vec<f64>> = HashMap::new();
    for frame in frames {
        for service in &frame.services {
            for feature in &service.features {
                let series = Series::Feature { service: &service.service, name: &feature.name };
                columns.entry(series).or_default().push(feature.level());
            }
        }
        for (rpc, own) in own_latencies(frame) {
            columns.entry(Series::OwnLatency(rpc)).or_default().push(own);
        }
    }
    columns
}

/// Median server latency of every RPC less what the operation waits for its callees.
fn own_latencies(frame: &Frame) -> impl Iterator<Item = (&RpcKey, f64)> {
    let mut waits: HashMap<(&str, &str), f64> = HashMap::new();
    let mut served: HashMap<(&str, &str), f64> = HashMap::new();
    for rpc in &frame.rpcs {
        let count = rpc.count as f64;
        *waits.entry((&rpc.key.caller, &rpc.key.caller_op)).or_default() +=
            f64::from(rpc.client.0[0]) * count;
        *served.entry((&rpc.key.callee, &rpc.key.op)).or_default() += count;
        if &*rpc.key.op != ANY_OP {
            *served.entry((&rpc.key.callee, ANY_OP)).or_default() += count;
        }
    }
    frame.rpcs.iter().map(move |rpc| {
        let wait = |op: &str| {
            let operation = (&*rpc.key.callee, op);
            let requests = served.get(&operation).copied().unwrap_or(0.0).max(1.0);
            waits.get(&operation).copied().unwrap_or(0.0) / requests
        };
        // What all operations wait for, and what this one waits for besides.
        let own = if &*rpc.key.op == ANY_OP { 0.0 } else { wait(&rpc.key.op) };
        (&rpc.key, (f64::from(rpc.server.0[0]) - wait(ANY_OP) - own).max(0.0))
    })
}
