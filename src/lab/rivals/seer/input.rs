//! What Seer's network sees.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::{Frame, Name, Percentiles, Resource};
use crate::lab::rivals::rival::Past;
use crate::lab::rivals::usual::{Level, Usual};
use crate::lab::rivals::view::latencies;

/// Intervals of history.
pub(in crate::lab::rivals) const PAST: usize = 4;
/// Of each tier: two queues, two latencies, and what each resource shows.
pub(in crate::lab::rivals) const CHANNELS: usize = QUEUES + LATENCIES + Resource::ALL.len();
const QUEUES: usize = 2;
const LATENCIES: usize = 2;

/// Reads frames.
#[derive(Debug)]
pub(super) struct Input {
    /// In the order of the RPC graph.
    pub(super) tiers: Vec<Name>,
    /// Usual levels of queues and latencies, by tier.
    levels: BTreeMap<Name, [Option<Level>; QUEUES + LATENCIES]>,
    pub(super) usual: Usual,
    quantile: f64,
}

/// Requests in the service, and under way to or from it; latency at the tail and in the middle.
type Levels = [f64; QUEUES + LATENCIES];

impl Input {
    pub(super) fn learn(past: &Past<'_>) -> Self {
        let (calm, quantile) = (past.calm(), past.target.quantile);
        let mut columns: BTreeMap<Name, [Vec<f64>; QUEUES + LATENCIES]> = BTreeMap::new();
        for (tier, values) in calm.iter().flat_map(|f| levels(f, quantile)) {
            let of_tier = columns.entry(tier).or_default();
            for (column, value) in of_tier.iter_mut().zip(values) {
                column.push(value);
            }
        }
        let level = |column: Vec<f64>| Level::of(&column, 1e-6);
        Self {
            tiers: in_order(&calm, &past.target.service),
            levels: columns.into_iter().map(|(t, c)| (t, c.map(level))).collect(),
            usual: Usual::learn(&calm, quantile),
            quantile,
        }
    }

    /// Deviations, squashed, of one interval.
    ///
    /// # Shapes
    /// `[CHANNELS, tiers]`, row by row.
    pub(super) fn read(&self, frame: &Frame) -> Vec<f32> {
        let mut worst: BTreeMap<(&Name, Resource), f64> = BTreeMap::new();
        for (service, _, resource, deviation) in self.usual.of_metrics(frame) {
            let most = worst.entry((service, resource)).or_insert(deviation);
            *most = most.max(deviation);
        }
        let now = levels(frame, self.quantile);
        let mut rows = vec![0.0; CHANNELS * self.tiers.len()];
        for (t, tier) in self.tiers.iter().enumerate() {
            let mut put = |channel: usize, deviation: f64| {
                rows[channel * self.tiers.len() + t] = squashed(deviation);
            };
            if let (Some(usual), Some(now)) = (self.levels.get(tier), now.get(tier)) {
                for (channel, (level, value)) in usual.iter().zip(now).enumerate() {
                    put(channel, level.map_or(0.0, |l| l.deviation(*value)));
                }
            }
            for resource in Resource::ALL {
                let deviation = worst.get(&(tier, resource)).copied().unwrap_or(0.0);
                put(QUEUES + LATENCIES + resource.index(), deviation);
            }
        }
        rows
    }
}

/// A few spreads matter as much as hundreds.
fn squashed(deviation: f64) -> f32 {
    (deviation.signum() * deviation.abs().ln_1p()) as f32
}

fn levels(frame: &Frame, quantile: f64) -> BTreeMap<Name, Levels> {
    let seconds = frame.interval.seconds().max(1e-9);
    let (tail, middle) = (latencies(frame, quantile), latencies(frame, 0.5));
    let mut levels: BTreeMap<Name, Levels> = tail
        .into_iter()
        .map(|(tier, tail)| {
            let middle = middle.get(&tier).copied().unwrap_or(0.0);
            (tier, [0.0, 0.0, tail, middle])
        })
        .collect();
    for rpc in &frame.rpcs {
        let Some(of) = levels.get_mut(&rpc.key.callee) else { continue };
        let rate = rpc.count as f64 / seconds;
        let (client, server) = (mean_ms(&rpc.client) / 1e3, mean_ms(&rpc.server) / 1e3);
        // Little's law, inside the service and in front of it.
        of[0] += rate * server;
        of[1] += rate * (client - server).max(0.0);
    }
    levels
}

/// Mean of a distribution, from its quantiles.
fn mean_ms(latency: &Percentiles) -> f64 {
    const POINTS: usize = 20;
    let at = |i: usize| latency.at((i as f64 + 0.5) / POINTS as f64);
    (0..POINTS).map(at).sum::<f64>() / POINTS as f64
}

/// Tiers so that callers stand before their callees, and close to them: depth first from the entry.
fn in_order(frames: &[&Frame], entry: &str) -> Vec<Name> {
    let mut callees: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
    for key in frames.iter().flat_map(|f| &f.rpcs).map(|r| &r.key) {
        callees.entry(key.caller.clone()).or_default().insert(key.callee.clone());
        callees.entry(key.callee.clone()).or_default();
    }
    let mut open: Vec<Name> = callees.keys().rev().cloned().collect();
    open.push(entry.into());
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    while let Some(tier) = open.pop() {
        if seen.insert(tier.clone()) {
            open.extend(callees.get(&tier).into_iter().flatten().rev().cloned());
            order.push(tier);
        }
    }
    // The outside world calls, but is no tier.
    let called: BTreeSet<&Name> = callees.values().flatten().collect();
    order.retain(|tier| called.contains(tier));
    order
}
