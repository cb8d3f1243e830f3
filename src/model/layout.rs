//! The net as index lists, with what is learnt about it by counting: how often a child is called,
//! what latencies are normal.
//!
//! Latencies are logarithms throughout the model: `L = ln(ms + OFFSET_MS)`.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::refresh::Affected;
use super::reshape::Matching;
use super::shift::moved;
use crate::data::{Frame, LEVELS, Percentiles, RpcKey, RpcKind, RpcWindow};
use crate::graph::CausalNet;
use crate::stats::{centre_and_spread, median};

/// Percentile levels of a latency.
pub(super) const LEVEL_COUNT: usize = LEVELS.len();
/// Keeps the logarithm finite, milliseconds.
const OFFSET_MS: f32 = 0.05;
/// Log latency of a child that is not called at all.
pub(super) const ABSENT: f32 = -8.0;

/// Latency of which kind, in [`Layout::normal`] and [`Observed::latency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Y^s
    Server = 0,
    /// Y^c
    Client = 1,
    /// Y^req
    Request = 2,
    /// Y^resp
    Response = 3,
}

/// One server waits for one child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// RPC that waits.
    pub parent: usize,
    /// RPC it waits for.
    pub child: usize,
    /// Calls of the child per request of the parent.
    pub calls: f32,
}

/// Index lists and normal values. Indices are those of the net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Number of services.
    pub services: usize,
    /// Serving service of each RPC.
    pub callee: Vec<usize>,
    /// Invoking service of each RPC; `None` for requests from outside.
    pub caller: Vec<Option<usize>>,
    /// How each RPC is observed.
    pub kind: Vec<RpcKind>,
    /// Who waits for whom, by parent.
    pub edges: Vec<Edge>,
    /// RPCs with a network of their own.
    pub paired: Vec<usize>,
    /// RPCs whose client latency is more than a copy of the server latency.
    pub clients: Vec<usize>,
    /// For each RPC the calls that occupy the same worker pool: (RPC, share of requests).
    pub pool: Vec<Vec<(usize, f32)>>,
    /// Median log latency when QoS was met: `[kind][rpc][level]`.
    pub normal: Vec<Vec<[f32; LEVEL_COUNT]>>,
    /// Median requests per interval when QoS was met.
    pub requests: Vec<f32>,
    /// Robust deviations of [`delay_levels`] when QoS was met, by RPC.
    pub delay_sigma: Vec<[f32; 2]>,
    /// Largest log latency that was learnt from.
    pub ceiling: f32,
    /// RPCs in the order of evaluation: whatever one depends on comes before it.
    pub order: Vec<usize>,
}

/// Latencies of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// `[kind, rpc, level]`; normal where nothing was seen.
    pub latency: Array3<f32>,
    /// Whether each RPC was seen.
    pub seen: Vec<bool>,
    /// Largest log latency seen, now or in training: no prediction is believed beyond it. What was learnt in peace
    /// knows nothing as slow as trouble.
    pub ceiling: f32,
}

/// Log latency of a value in milliseconds.
pub(super) fn log_ms(ms: f32) -> f32 {
    (ms.max(0.0) + OFFSET_MS).ln()
}

/// Milliseconds of a log latency.
pub(super) fn to_ms(log: f32) -> f32 {
    (log.exp() - OFFSET_MS).max(0.0)
}

impl Layout {
    /// Builds the layout of `net` and counts in `frames`; `met[t]`: QoS was met in frame `t`.
    pub fn new(net: &CausalNet, frames: &[&Frame], met: &[bool]) -> Self {
        let count = net.rpcs.len();
        let kind: Vec<RpcKind> = net.rpcs.iter().map(|r| r.kind).collect();
        let caller: Vec<Option<usize>> = net.rpcs.iter().map(|r| r.caller).collect();
        let of_kind = |wanted: &dyn Fn(usize) -> bool| (0..count).filter(|i| wanted(*i)).collect();
        let calm: Vec<&Frame> =
            frames.iter().zip(met).filter(|(_, met)| **met).map(|(f, _)| *f).collect();
        // With nothing calm to learn from, all there is has to do.
        let calm = if calm.is_empty() { frames.to_vec() } else { calm };
        let (normal, requests) = normal_values(net, &calm);
        let (pools, order) = net.pools();
        let mut layout = Self {
            services: net.services.len(),
            callee: net.rpcs.iter().map(|r| r.callee).collect(),
            edges: edges(net, &calm),
            paired: of_kind(&|i| kind[i] == RpcKind::Paired),
            clients: of_kind(&|i| {
                caller[i].is_some() && matches!(kind[i], RpcKind::Paired | RpcKind::Messaging)
            }),
            pool: shares(pools, &requests),
            delay_sigma: delay_sigmas(net, &calm),
            kind,
            caller,
            normal,
            requests,
            ceiling: 0.0,
            order,
        };
        let all = frames.iter().flat_map(|f| &f.rpcs).flat_map(|w| [w.client.0[4], w.server.0[4]]);
        layout.ceiling = log_ms(all.fold(1.0, f32::max));
        layout
    }

    /// The layout of `net` after a change, counted in the `frames` since: trained services move as far
    /// from `old` as the calm ones of these frames say, new ones are as counted, the rest stays.
    pub(super) fn refreshed(
        net: &CausalNet,
        old: &Self,
        matching: &Matching,
        affected: &Affected,
        (frames, met): (&[&Frame], &[bool]),
    ) -> Self {
        let mut new = Self::new(net, frames, met);
        let usual_delay = [0, 1].map(|k| median_of(old.delay_sigma.iter().map(|s| s[k])));
        for i in 0..net.rpcs.len() {
            let Some(was) = matching.rpcs[i] else {
                for (sigma, usual) in new.delay_sigma[i].iter_mut().zip(usual_delay) {
                    *sigma = sigma.max(usual);
                }
                continue;
            };
            let ends = [Some(new.callee[i]), new.caller[i]];
            let is_one_of = |list: &[bool]| ends.into_iter().flatten().any(|j: usize| list[j]);
            if !is_one_of(&affected.changed) || new.requests[i] == 0.0 {
                new.requests[i] = old.requests[was];
            }
            new.delay_sigma[i] = old.delay_sigma[was];
            let is_trained = is_one_of(&affected.trained);
            for k in 0..4 {
                let before = old.normal[k][was];
                let after = &mut new.normal[k][i];
                *after = if is_trained {
                    moved_levels(before, k, &net.rpcs[i].key, frames, met)
                } else {
                    before
                };
            }
        }
        let calls = |edge: &Edge| {
            let (parent, child) = (matching.rpcs[edge.parent]?, matching.rpcs[edge.child]?);
            let same = old.edges.iter().find(|e| e.parent == parent && e.child == child)?;
            let is_recounted = affected.changed[new.callee[edge.parent]];
            (!is_recounted || new.requests[edge.child] == 0.0).then_some(same.calls)
        };
        let kept: Vec<Option<f32>> = new.edges.iter().map(calls).collect();
        for (edge, kept) in new.edges.iter_mut().zip(kept) {
            edge.calls = kept.unwrap_or(edge.calls);
        }
        new.pool = shares(net.pools().0, &new.requests);
        new.ceiling = new.ceiling.max(old.ceiling);
        new
    }

    /// Latencies of a frame in log space; RPCs that were not seen get their normal values.
    pub fn observe(&self, frame: &Frame, net: &CausalNet) -> Observed {
        let shape = (4, net.rpcs.len(), LEVEL_COUNT);
        let mut latency = Array3::from_shape_fn(shape, |(k, i, q)| self.normal[k][i][q]);
        let mut seen = vec![false; net.rpcs.len()];
        for window in frame.rpcs.iter().filter(|w| w.count > 0) {
            let Some(i) = net.rpc(&window.key) else { continue };
            seen[i] = true;
            let parts = [&window.server, &window.client, &window.request, &window.response];
            for (k, part) in parts.into_iter().enumerate() {
                for q in 0..LEVEL_COUNT {
                    latency[[k, i, q]] = log_ms(part.0[q]);
                }
            }
        }
        let largest = latency.iter().copied().fold(self.ceiling, f32::max);
        Observed { latency, seen, ceiling: largest }
    }

    /// How long a request holds a worker of the pool that serves RPC `i`: mean time of the calls it
    /// waits for. `mean_ms[k]`: mean client latency of RPC `k`.
    pub fn pool_ms(&self, i: usize, mean_ms: impl Fn(usize) -> f32) -> f32 {
        self.pool[i].iter().map(|(k, share)| share * mean_ms(*k)).sum()
    }

    /// ln of that time relative to normal.
    pub fn occupancy(&self, i: usize, now_ms: f32, normal_ms: f32) -> f32 {
        if self.pool[i].is_empty() {
            return 0.0;
        }
        (now_ms.max(1e-6) / normal_ms.max(1e-6)).ln()
    }
}

/// Where each level of a parent is found among those of its child: above which level, and how far on
/// the way to the next. `None`: the child is absent there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thinning([Option<(usize, f32)>; LEVEL_COUNT]);

impl Edge {
    /// How the child's latency shows in the parent's requests. When the child is called with
    /// probability p < 1, the parent's level q is the child's level 1 - (1 - q) / p.
    pub fn thinning(&self) -> Thinning {
        let p = f64::from(self.calls.min(1.0));
        if p > 0.98 {
            return Thinning(std::array::from_fn(|q| Some((q, 0.0))));
        }
        let depth = |q: f64| -(1.0 - q).ln();
        Thinning(LEVELS.map(|q| {
            let level = 1.0 - (1.0 - q) / p.max(1e-6);
            if level <= 0.02 {
                return None;
            }
            if level <= LEVELS[0] {
                return Some((0, 0.0));
            }
            let last = LEVEL_COUNT - 1;
            let hi = LEVELS.iter().position(|l| *l >= level).unwrap_or(last);
            let (from, to) = (depth(LEVELS[hi - 1]), depth(LEVELS[hi]));
            Some((hi - 1, ((depth(level) - from) / (to - from)) as f32))
        }))
    }

    /// Where the weight of the edge starts: a child called n times in a row takes n times as long.
    pub fn weight_start(&self) -> f32 {
        self.calls.max(1.0).ln()
    }
}

impl Thinning {
    /// The child's log latency as the parent's requests see it, level by level.
    pub fn of(&self, child: &[f32; LEVEL_COUNT]) -> [f32; LEVEL_COUNT] {
        self.0.map(|place| {
            let Some((q, share)) = place else { return ABSENT };
            let next = child[(q + 1).min(LEVEL_COUNT - 1)];
            child[q] + share * (next - child[q])
        })
    }
}

/// Mean of a distribution given by its log percentiles, milliseconds.
pub(super) fn mean_ms(log: &[f32; LEVEL_COUNT]) -> f32 {
    const SHARES: [f32; LEVEL_COUNT] = [0.6, 0.2, 0.1, 0.06, 0.04];
    log.iter().zip(SHARES).map(|(l, share)| share * to_ms(*l)).sum()
}

/// How slow the network of an RPC is: log of request + response delay, between the median and the 90th percentile,
/// and in the tail, where what is lost now and then and sent again shows.
pub(super) fn delay_levels(window: &RpcWindow) -> [f64; 2] {
    let sum = |q: usize| f64::from(log_ms(window.request.0[q] + window.response.0[q]));
    [f64::midpoint(sum(0), sum(2)), f64::midpoint(sum(3), sum(4))]
}

/// `before`, moved as far as the calm ones of `frames` say, level by level.
fn moved_levels(
    before: [f32; LEVEL_COUNT],
    kind: usize,
    key: &RpcKey,
    frames: &[&Frame],
    met: &[bool],
) -> [f32; LEVEL_COUNT] {
    let is_any_calm = met.contains(&true);
    let seen: Vec<&Percentiles> = frames
        .iter()
        .zip(met)
        .filter(|(_, met)| **met || !is_any_calm)
        .filter_map(|(f, _)| f.rpc(key).filter(|w| w.count > 0))
        .map(|w| [&w.server, &w.client, &w.request, &w.response][kind])
        .collect();
    std::array::from_fn(|q| {
        let moves: Vec<f64> = seen.iter().map(|p| f64::from(log_ms(p.0[q]) - before[q])).collect();
        before[q] + moved(&moves, 0.0) as f32
    })
}

fn median_of(values: impl Iterator<Item = f32>) -> f32 {
    median(values.map(f64::from)).unwrap_or(1.0) as f32
}

/// Smallest deviation of a delay that is believed, in log units.
const DELAY_SIGMA_MIN: f64 = 0.05;

fn delay_sigmas(net: &CausalNet, frames: &[&Frame]) -> Vec<[f32; 2]> {
    let of = |rpc: &crate::graph::RpcNode| {
        let seen = frames.iter().filter_map(|f| f.rpc(&rpc.key)).filter(|w| w.count > 0);
        let levels: Vec<[f64; 2]> = seen.map(delay_levels).collect();
        [0, 1].map(|k| {
            let levels: Vec<f64> = levels.iter().map(|l| l[k]).collect();
            let sigma = centre_and_spread(&levels).map_or(1.0, |(_, s)| s.max(DELAY_SIGMA_MIN));
            sigma as f32
        })
    };
    net.rpcs.iter().map(of).collect()
}

type Normals = (Vec<Vec<[f32; LEVEL_COUNT]>>, Vec<f32>);

fn normal_values(net: &CausalNet, frames: &[&Frame]) -> Normals {
    let mut latency = vec![vec![[ABSENT; LEVEL_COUNT]; net.rpcs.len()]; 4];
    let mut requests = vec![0.0; net.rpcs.len()];
    for (i, rpc) in net.rpcs.iter().enumerate() {
        let windows: Vec<_> =
            frames.iter().filter_map(|f| f.rpc(&rpc.key)).filter(|w| w.count > 0).collect();
        let middle = |pick: &dyn Fn(usize) -> f64| median((0..windows.len()).map(pick));
        let of = |k: usize, w: usize| -> &Percentiles {
            let w = windows[w];
            [&w.server, &w.client, &w.request, &w.response][k]
        };
        for (k, kind) in latency.iter_mut().enumerate() {
            kind[i] = std::array::from_fn(|q| {
                let value = middle(&|w| f64::from(log_ms(of(k, w).0[q])));
                value.map_or_else(|| log_ms(0.0), |v| v as f32)
            });
        }
        // An RPC that is absent from an interval had no request there.
        let total: f64 = windows.iter().map(|w| w.count as f64).sum();
        requests[i] = (total / frames.len().max(1) as f64) as f32;
    }
    (latency, requests)
}

fn edges(net: &CausalNet, frames: &[&Frame]) -> Vec<Edge> {
    let calls = calls_per_request(net, frames);
    let edge = |parent: usize, child: usize| Edge { parent, child, calls: calls[child] };
    let each = |(i, rpc): (usize, &crate::graph::RpcNode)| -> Vec<Edge> {
        // Without a caller's half there is no client latency to wait for.
        let waits = rpc.children.iter().filter(|k| net.rpcs[**k].kind != RpcKind::ServerOnly);
        waits.map(|k| edge(i, *k)).collect()
    };
    net.rpcs.iter().enumerate().flat_map(each).collect()
}

/// How often each RPC is called per request of those that may call it, since it was first seen: a callee
/// that was deployed yesterday was not called the week before.
fn calls_per_request(net: &CausalNet, frames: &[&Frame]) -> Vec<f32> {
    // (requests, requests of everything that may call it): RPCs into one operation share children.
    let mut sums = vec![(0.0, 0.0); net.rpcs.len()];
    for frame in frames {
        let mut counts = vec![0.0; net.rpcs.len()];
        for window in &frame.rpcs {
            if let Some(i) = net.rpc(&window.key) {
                counts[i] = window.count as f64;
            }
        }
        let mut callers = vec![0.0; net.rpcs.len()];
        for (i, rpc) in net.rpcs.iter().enumerate() {
            rpc.children.iter().for_each(|k| callers[*k] += counts[i]);
        }
        for ((own, all), (count, by)) in sums.iter_mut().zip(counts.into_iter().zip(callers)) {
            if *own + count > 0.0 {
                (*own, *all) = (*own + count, *all + by);
            }
        }
    }
    sums.into_iter().map(|(own, all)| if all > 0.0 { (own / all) as f32 } else { 1.0 }).collect()
}

/// Calls that share a worker pool, each with its share of the pool's requests.
fn shares(pools: Vec<Vec<usize>>, requests: &[f32]) -> Vec<Vec<(usize, f32)>> {
    let share = |members: Vec<usize>| {
        let total: f32 = members.iter().map(|k| requests[*k]).sum();
        members.iter().map(|k| (*k, requests[*k] / total.max(1e-6))).collect()
    };
    pools.into_iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_called_by_half_of_the_requests_shows_in_the_upper_half_only() {
        let child = [1.0, 2.0, 3.0, 4.0, 5.0];
        let thinned = |calls| Edge { parent: 0, child: 1, calls }.thinning().of(&child);
        assert_eq!(thinned(1.0), child);
        let half = thinned(0.5);
        // p75 of the parent is p50 of the child, p95 its p90.
        assert_eq!((half[0], half[1]), (ABSENT, 1.0));
        assert!((half[3] - 3.0).abs() < 1e-5, "{half:?}");
        assert!(half[4] > 4.0 && half[4] < 5.0);
        assert_eq!(thinned(0.005), [ABSENT; 5]);
    }

    #[test]
    fn log_latency_and_back() {
        for ms in [0.0, 0.3, 20.0, 4000.0] {
            assert!((to_ms(log_ms(ms)) - ms).abs() < 1e-3 * (1.0 + ms));
        }
    }
}
