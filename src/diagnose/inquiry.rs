//! Counterfactual questions about the violating intervals, their answers combined.

use super::tail::Tail;
use crate::data::{Frame, QosTarget};
use crate::graph::{CausalNet, Latencies, Mechanism, Query};
use crate::stats::normal_cdf;

/// Uncertainty of a counterfactual, as a share of how far it moved.
const UNCERTAINTY: f64 = 0.1;
/// And at least this much, in log units.
const UNCERTAINTY_MIN: f64 = 0.02;

/// The violating intervals of one alert, ready to be asked about.
#[derive(Debug)]
pub(super) struct Inquiry<'a> {
    mechanism: &'a dyn Mechanism,
    frames: Vec<(&'a Frame, Tail)>,
    normal: &'a Frame,
    /// ln of the target.
    pub target: f64,
    /// ln of the observed latency, mean over the intervals.
    pub observed: f64,
}

/// What the end-to-end latency would have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    /// ln of the latency at the target's quantile, mean over the intervals.
    pub log_ms: f64,
    /// Mean log latency over all levels: breaks ties where tails saturate alike.
    pub mean: f64,
}

impl<'a> Inquiry<'a> {
    /// `None` when no frame has requests of the target's service.
    pub(super) fn new(
        mechanism: &'a dyn Mechanism,
        frames: &[&'a Frame],
        normal: &'a Frame,
        target: &QosTarget,
    ) -> Option<Self> {
        let net = mechanism.net();
        let frames: Vec<(&Frame, Tail)> =
            frames.iter().filter_map(|f| Some((*f, Tail::new(net, f, target)?))).collect();
        if frames.is_empty() {
            return None;
        }
        let sum: f64 = frames.iter().map(|(f, tail)| tail.log_ms_of(net, f)).sum();
        let observed = sum / frames.len() as f64;
        Some(Self { mechanism, frames, normal, target: target.target_ms.ln(), observed })
    }

    /// Whether the requests the mechanism knows violate the target at all.
    pub(super) fn is_violated(&self) -> bool {
        self.observed > self.target
    }

    /// The net that is asked about.
    pub(super) fn net(&self) -> &CausalNet {
        self.mechanism.net()
    }

    /// The intervals.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().map(|(f, _)| *f)
    }

    /// The mechanism that answers.
    pub(super) fn mechanism(&self) -> &dyn Mechanism {
        self.mechanism
    }

    /// The normal values.
    pub(super) fn normal(&self) -> &Frame {
        self.normal
    }

    /// Answers all queries.
    pub(super) fn ask(&self, queries: &[Query]) -> Vec<Answer> {
        let mut sums = vec![Answer { log_ms: 0.0, mean: 0.0 }; queries.len()];
        for (frame, tail) in &self.frames {
            let answers = self.mechanism.answer(frame, self.normal, queries);
            for (sum, latencies) in sums.iter_mut().zip(&answers) {
                sum.log_ms += tail.log_ms(latencies);
                sum.mean += tail.mean_log_ms(latencies);
            }
        }
        let n = self.frames.len() as f64;
        for sum in &mut sums {
            sum.log_ms /= n;
            sum.mean /= n;
        }
        sums
    }

    /// All latencies of the newest interval under one query.
    pub(super) fn newest(&self, query: &Query) -> Option<(&Frame, Latencies)> {
        let (frame, _) = self.frames.last()?;
        let mut answers = self.mechanism.answer(frame, self.normal, std::slice::from_ref(query));
        Some((*frame, answers.pop()?))
    }

    /// Probability that QoS is met at a counterfactual latency of `log_ms`.
    pub(super) fn probability(&self, log_ms: f64) -> f64 {
        normal_cdf((self.target - log_ms) / self.uncertainty(log_ms))
    }

    /// Standard deviation of a counterfactual, in log units.
    pub(super) fn uncertainty(&self, log_ms: f64) -> f64 {
        UNCERTAINTY * (self.observed - log_ms).abs() + UNCERTAINTY_MIN
    }
}
