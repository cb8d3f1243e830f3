//! The RPC graph, learnt from frames; edges that are no longer used age out.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::{EventTime, Frame, OVERFLOW, RpcKey, RpcKind};

/// `[graph]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// An RPC that was not seen for this many intervals leaves the graph.
    pub forget_after: usize,
    /// RPCs in the graph; the ones with the fewest requests are left out.
    pub rpcs_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { forget_after: 480, rpcs_max: 5000 }
    }
}

impl Config {
    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        for (name, value) in [("forget_after", self.forget_after), ("rpcs_max", self.rpcs_max)] {
            if value < 1 {
                faults.push(format!("graph.{name} = {value}: must be at least 1"));
            }
        }
    }
}

/// One edge.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// How it was observed; the fullest view counts.
    pub kind: RpcKind,
    /// Requests over the frames that were learnt from.
    pub count: u64,
    /// Newest interval it was seen in.
    pub last_seen: EventTime,
}

/// Who calls whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RpcGraph {
    edges: BTreeMap<RpcKey, Edge>,
}

impl RpcGraph {
    /// Learns from frames in order; the newest `forget_after` of them decide what is still alive.
    pub fn learn<'a>(frames: impl DoubleEndedIterator<Item = &'a Frame>, config: &Config) -> Self {
        let mut edges: BTreeMap<RpcKey, Edge> = BTreeMap::new();
        for frame in frames.rev().take(config.forget_after) {
            for rpc in &frame.rpcs {
                if [&rpc.key.caller, &rpc.key.callee].iter().any(|s| &***s == OVERFLOW) {
                    continue;
                }
                let edge = edges.entry(rpc.key.clone()).or_insert_with(|| Edge {
                    kind: rpc.kind,
                    count: 0,
                    last_seen: frame.interval.start,
                });
                edge.count += rpc.count;
                if rpc.kind == RpcKind::Paired {
                    edge.kind = RpcKind::Paired;
                }
            }
            // Names made of ids are new in every frame: without this they would pile up.
            if edges.len() > CROWDED * config.rpcs_max {
                keep_busiest(&mut edges, config.rpcs_max);
            }
        }
        keep_busiest(&mut edges, config.rpcs_max);
        Self { edges }
    }

    /// A graph of given edges; for tests and for restoring a saved model.
    pub fn from_edges(edges: impl IntoIterator<Item = (RpcKey, RpcKind)>) -> Self {
        let edge = |kind| Edge { kind, count: 1, last_seen: EventTime::default() };
        Self { edges: edges.into_iter().map(|(key, kind)| (key, edge(kind))).collect() }
    }

    /// The edges, sorted by key.
    pub fn edges(&self) -> &BTreeMap<RpcKey, Edge> {
        &self.edges
    }
}

/// Times `rpcs_max` from which RPCs are dropped while learning still goes on.
const CROWDED: usize = 4;

/// Drops all but the `max` busiest RPCs; among equals, those seen last stay.
fn keep_busiest(edges: &mut BTreeMap<RpcKey, Edge>, max: usize) {
    if edges.len() <= max {
        return;
    }
    let rank = |(k, e): (&RpcKey, &Edge)| (Reverse(e.count), Reverse(e.last_seen), k.clone());
    let mut ranks: Vec<_> = edges.iter().map(rank).collect();
    ranks.sort_unstable();
    for (.., key) in ranks.drain(max..) {
        edges.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Interval, Percentiles, RpcWindow};

    fn frame(n: i64, rpcs: &[(&str, &str, u64)]) -> Frame {
        let zero = Percentiles::default();
        let mut rpcs: Vec<RpcWindow> = rpcs
            .iter()
            .map(|(caller, callee, count)| RpcWindow {
                key: RpcKey::new(caller, "", callee, "op"),
                kind: RpcKind::Paired,
                count: *count,
                failed: 0,
                seen_ratio: 1.0,
                client: zero,
                server: zero,
                request: zero,
                response: zero,
            })
            .collect();
        rpcs.sort_by(|a, b| a.key.cmp(&b.key));
        let interval = Interval { start: EventTime(n * 1000), end: EventTime(n * 1000 + 1000) };
        Frame { interval, rpcs, services: vec![], completeness: 1.0, replicas: vec![] }
    }

    fn names(graph: &RpcGraph) -> Vec<String> {
        graph.edges().keys().map(|k| format!("{}>{}", k.caller, k.callee)).collect()
    }

    #[test]
    fn edges_age_out_and_the_overflow_bucket_is_no_edge() {
        let frames = [
            frame(0, &[("a", "old", 1)]),
            frame(1, &[("a", "b", 2), (OVERFLOW, OVERFLOW, 9)]),
            frame(2, &[("a", "b", 3)]),
        ];
        let config = Config { forget_after: 2, rpcs_max: 10 };
        let graph = RpcGraph::learn(frames.iter(), &config);
        assert_eq!(names(&graph), ["a>b"]);
        assert_eq!(graph.edges().values().next().unwrap().count, 5);
    }

    #[test]
    fn beyond_the_limit_the_busiest_rpcs_stay() {
        let frames = [frame(0, &[("a", "b", 5), ("a", "c", 1), ("a", "d", 9)])];
        let graph = RpcGraph::learn(frames.iter(), &Config { forget_after: 9, rpcs_max: 2 });
        assert_eq!(names(&graph), ["a>b", "a>d"]);
    }

    #[test]
    fn equally_busy_rpcs_meet_the_limit_too() {
        let frames = [frame(0, &[("a", "b", 1), ("a", "c", 1)]), frame(1, &[("a", "d", 1)])];
        let graph = RpcGraph::learn(frames.iter(), &Config { forget_after: 9, rpcs_max: 2 });
        assert_eq!(names(&graph), ["a>b", "a>d"]);
    }
}
