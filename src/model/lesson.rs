//! Intervals from before a change, as far as they still teach something (paper 4.2: interleave current
//! and previous data, or the model forgets).
//!
//! Each keeps its distance from what was normal then: metrics by the baselines of then, latencies moved
//! by as many milliseconds as normal has moved. Nodes that are new, or of which no normal value of then
//! is known, count as not seen.

use super::features::Inputs;
use super::layout::{Kind, LEVEL_COUNT, Layout, Observed, log_ms, to_ms};
use super::partial::Reach;
use super::predict::Model;
use super::refresh::Affected;
use super::reshape::Matching;
use crate::data::Frame;
use crate::graph::CausalNet;
use ndarray::{Array1, Array2};

/// Older intervals among the new ones, and how many of them violated QoS, where there are as many.
const OLDER: usize = 128;
const OLDER_VIOLATING: usize = 48;
/// A latency moved to a new normal keeps at least this share of itself.
const KEPT_MIN: f32 = 0.3;

/// Which of the frames before a change to learn from: evenly spread over time, violating ones more often
/// than they occur.
pub(super) fn choose_older(frames: &[&Frame], met: &[bool], reach: Reach) -> Vec<usize> {
    if reach == Reach::Everything {
        return (0..frames.len()).collect();
    }
    let (calm, violating): (Vec<usize>, Vec<usize>) = (0..frames.len()).partition(|t| met[*t]);
    let violating = spread(&violating, OLDER_VIOLATING);
    let mut chosen = spread(&calm, OLDER - violating.len());
    chosen.extend(violating);
    chosen.sort_unstable();
    chosen
}

/// At most `count` of a list, evenly spread, the last among them.
fn spread(list: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(list.len());
    (1..=count).map(|n| list[n * list.len() / count - 1]).collect()
}

/// How frames from before a change are read.
pub(super) struct Older<'a> {
    /// The model of then.
    pub base: &'a Model,
    /// The net of now.
    pub net: &'a CausalNet,
    /// The normal values of now.
    pub layout: &'a Layout,
    /// Where the nodes of now were then.
    pub matching: &'a Matching,
}

impl Older<'_> {
    /// Inputs and latencies of a frame, in the nodes of now.
    pub(super) fn encode(&self, frame: &Frame, affected: &Affected) -> (Inputs, Observed) {
        let mut observed = self.layout.observe(frame, self.net);
        for i in 0..self.layout.callee.len() {
            let (callee, caller) = (self.layout.callee[i], self.layout.caller[i]);
            let is_of_then = |j: usize| {
                let was = self.matching.services[j];
                was.is_some_and(|was| frame.interval.start >= self.base.changed_since(was))
            };
            let known = self.matching.rpcs[i].filter(|_| is_of_then(callee));
            let ends = [Some(callee), caller];
            let is_trained = ends.into_iter().flatten().any(|j| affected.trained[j]);
            match known {
                Some(was) if is_trained && observed.seen[i] => {
                    self.move_to_now(&mut observed, i, was);
                }
                Some(_) => {}
                None => {
                    observed.seen[i] = false;
                    for (kind, normal) in self.layout.normal.iter().enumerate() {
                        for (q, level) in normal[i].iter().enumerate() {
                            observed.latency[[kind, i, q]] = *level;
                        }
                    }
                }
            }
        }
        (self.inputs(frame), observed)
    }

    fn move_to_now(&self, observed: &mut Observed, i: usize, was: usize) {
        let then = &self.base.evaluator.layout;
        for kind in [Kind::Server, Kind::Client, Kind::Request, Kind::Response] {
            let k = kind as usize;
            for q in 0..LEVEL_COUNT {
                let moved = to_ms(self.layout.normal[k][i][q]) - to_ms(then.normal[k][was][q]);
                let ms = to_ms(observed.latency[[k, i, q]]);
                observed.latency[[k, i, q]] = log_ms((ms + moved).max(KEPT_MIN * ms));
            }
        }
    }

    fn inputs(&self, frame: &Frame) -> Inputs {
        let then = self.base.features.inputs(frame, &self.base.net);
        let rows = |from: &Array2<f32>| {
            Array2::from_shape_fn((self.net.services.len(), from.ncols()), |(j, f)| {
                self.matching.services[j].map_or(0.0, |was| from[[was, f]])
            })
        };
        let load = |j: usize| self.matching.services[j].map_or(0.0, |was| then.load[was]);
        Inputs {
            server: rows(&then.server),
            net: rows(&then.net),
            load: Array1::from_shape_fn(self.net.services.len(), load),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EventTime, Interval};

    #[test]
    fn older_intervals_are_spread_over_time_and_violating_ones_stay_in_the_majority_of_their_kind()
    {
        let frames: Vec<Frame> = (0..1000)
            .map(|n| {
                let interval = Interval { start: EventTime(n), end: EventTime(n + 1) };
                Frame {
                    interval,
                    rpcs: vec![],
                    services: vec![],
                    completeness: 1.0,
                    replicas: vec![],
                }
            })
            .collect();
        let frames: Vec<&Frame> = frames.iter().collect();
        let met: Vec<bool> = (0..1000).map(|n| n % 25 != 0).collect();
        let chosen = choose_older(&frames, &met, Reach::Partial);
        assert_eq!(chosen.len(), OLDER);
        assert_eq!(chosen.iter().filter(|t| !met[**t]).count(), 40);
        assert!(chosen.windows(2).all(|w| w[0] < w[1]) && chosen[0] < 20);
        assert_eq!(*chosen.last().unwrap(), 999);
        assert_eq!(choose_older(&frames[..3], &met[..3], Reach::Partial), [0, 1, 2]);
        assert!(choose_older(&[], &[], Reach::Partial).is_empty());
    }
}
