//! The robust baseline: how many interquartile ranges everything about a service is from its median
//! (as BARO, FSE 2024). Needs no model; the answer of a cold start, and a second opinion later.

use std::collections::{BTreeMap, HashMap};

use super::columns::{self, Column};
use crate::data::{ANY_OP, BaselineScore, Frame, RpcKey, RpcWindow};
use crate::stats::{median, quantiles};

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
    let (now, then) = (series(now), series(normal));
    let (largest_now, largest) = (largest(&now), largest(&then));
    let mut best: BTreeMap<&str, f64> = BTreeMap::new();
    for (series, values) in &now {
        let Some(past) = then.get(series) else { continue };
        let quartiles = quantiles(past.iter().copied(), [0.25, 0.5, 0.75]);
        let Some([low, middle, high]) = quartiles else { continue };
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
fn largest<'a>(all: &HashMap<Series<'a>, Vec<f64>>) -> HashMap<&'a str, f64> {
    let mut largest: HashMap<&str, f64> = HashMap::new();
    for (series, values) in all {
        let level = largest.entry(series.kind()).or_insert(0.0);
        *level = values.iter().fold(*level, |a, b| a.max(b.abs()));
    }
    largest
}

/// The values of every series, frame by frame.
fn series<'a>(frames: &[&'a Frame]) -> HashMap<Series<'a>, Vec<f64>> {
    let mut series = HashMap::new();
    for windows in columns::services(frames) {
        let service = &windows[0].1.service;
        for feature in columns::features(&windows) {
            let key = Series::Feature { service, name: &feature[0].1.name };
            series.insert(key, feature.iter().map(|(_, window)| window.level()).collect());
        }
    }
    let rpcs = columns::rpcs(frames);
    let own = own_latencies(&rpcs, frames.len());
    series.extend(rpcs.iter().zip(own).map(|(c, own)| (Series::OwnLatency(&c[0].1.key), own)));
    series
}

/// Median server latency of every RPC, frame by frame, less what the operation waits for its callees.
fn own_latencies(rpcs: &[Column<'_, RpcWindow>], frames: usize) -> Vec<Vec<f64>> {
    let mut operations: HashMap<(&str, &str), usize> = HashMap::new();
    let mut number = |service, op| {
        let next = operations.len();
        *operations.entry((service, op)).or_insert(next)
    };
    // Of every RPC: the operation that waits, the one that serves, and what stands for all of that service.
    let places: Vec<[usize; 3]> = rpcs
        .iter()
        .map(|column| &column[0].1.key)
        .map(|k| {
            [number(&*k.caller, &*k.caller_op), number(&k.callee, &k.op), number(&k.callee, ANY_OP)]
        })
        .collect();
    let mut waits = vec![0.0; operations.len() * frames];
    let mut served = waits.clone();
    for (column, [from, to, any]) in rpcs.iter().zip(&places) {
        for (t, rpc) in column {
            let count = rpc.count as f64;
            waits[from * frames + t] += f64::from(rpc.client.0[0]) * count;
            served[to * frames + t] += count;
            if to != any {
                served[any * frames + t] += count;
            }
        }
    }
    let own = |(column, [_, to, any]): (&Column<'_, RpcWindow>, &[usize; 3])| {
        let of = |(t, rpc): &(usize, &RpcWindow)| {
            let wait = |n: usize| waits[n * frames + t] / served[n * frames + t].max(1.0);
            // What all operations wait for, and what this one waits for besides.
            let own = if to == any { 0.0 } else { wait(*to) };
            (f64::from(rpc.server.0[0]) - wait(*any) - own).max(0.0)
        };
        column.iter().map(of).collect()
    };
    rpcs.iter().zip(&places).map(own).collect()
}
