//! Counterfactual questions about the violating intervals, their answers combined.

use std::ops::Range;

use super::tail::Tail;
use crate::data::{Frame, QosTarget};
use crate::graph::{Case, CausalNet, Latencies, Mechanism, Query, Situation};
use crate::parallel;
use crate::stats::{centre_and_spread, normal_cdf};

/// Worlds times RPCs of an interval that take about as long as the start of a few threads.
const WORTH_SHARING: usize = 1000;
/// How exactly a counterfactual is known, as a share of how far it moved.
const SLACK: f64 = 0.1;
/// And at least this much, in log units.
const SLACK_MIN: f64 = 0.02;
/// Spread of a calm latency, in log units, where calm intervals are too few or too much alike to tell.
const SPREAD_MIN: f64 = 0.02;
/// Draws of the latents per probability.
const DRAWS: usize = 16;
/// Up to so many worlds get all of their draws. Of more, those get the rest whose first ones do not agree ...
const DRAWN_WHOLE: usize = 12;
const DRAWS_FIRST: usize = 4;
/// ... that the target would be missed, or met, but for so little.
const DOUBT_MIN: f64 = 0.002;

/// The violating intervals of one alert, ready to be asked about.
#[derive(Debug)]
pub(super) struct Inquiry<'a> {
    net: &'a CausalNet,
    intervals: Vec<Violation<'a>>,
    normal: &'a Frame,
    /// ln of the target.
    pub target: f64,
    /// ln of the observed latency, mean over the intervals.
    pub observed: f64,
    /// How far the latency of one calm interval is from that of another, as a deviation in log units: what
    /// no counterfactual can foretell.
    spread: f64,
}

/// One violating interval.
#[derive(Debug)]
struct Violation<'a> {
    frame: &'a Frame,
    tail: Tail,
    case: Box<dyn Case + 'a>,
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
    /// `None` when no frame has requests of the target's service. `calm`: the frames `normal` is the median
    /// of.
    pub(super) fn new(
        mechanism: &'a dyn Mechanism,
        frames: &[&'a Frame],
        (normal, calm): (&'a Frame, &[&Frame]),
        target: &QosTarget,
    ) -> Option<Self> {
        let net = mechanism.net();
        let tails: Vec<(&Frame, Tail)> =
            frames.iter().filter_map(|f| Some((*f, Tail::new(net, f, target)?))).collect();
        let known: Vec<&Frame> = tails.iter().map(|(frame, _)| *frame).collect();
        let violation = |((frame, tail), case)| Violation { frame, tail, case };
        let cases = mechanism.abduct_all(&known, normal);
        let intervals: Vec<Violation<'_>> = tails.into_iter().zip(cases).map(violation).collect();
        if intervals.is_empty() {
            return None;
        }
        let sum: f64 = intervals.iter().map(|v| v.tail.log_ms_of(net, v.frame)).sum();
        let observed = sum / intervals.len() as f64;
        let calm = calm.iter().filter_map(|f| Some(Tail::new(net, f, target)?.log_ms_of(net, f)));
        let calm: Vec<f64> = calm.collect();
        let spread = centre_and_spread(&calm).map_or(0.0, |(_, spread)| spread).max(SPREAD_MIN);
        Some(Self { net, intervals, normal, target: target.target_ms.ln(), observed, spread })
    }

    /// Whether the requests the mechanism knows violate the target at all.
    pub(super) fn is_violated(&self) -> bool {
        self.observed > self.target
    }

    /// The net that is asked about.
    pub(super) fn net(&self) -> &CausalNet {
        self.net
    }

    /// The intervals.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.intervals.iter().map(|v| v.frame)
    }

    /// Threads that are worth their start where so many worlds are computed of every interval.
    fn threads(&self, worlds: usize) -> usize {
        if worlds * self.net.rpcs.len() < WORTH_SHARING { 1 } else { parallel::processors() }
    }

    /// How far each interval is from normal.
    pub(super) fn situations(&self) -> Vec<Situation> {
        parallel::map(&self.intervals, self.threads(1), |v| v.case.situation())
    }

    /// The normal values.
    pub(super) fn normal(&self) -> &Frame {
        self.normal
    }

    /// Answers all queries.
    pub(super) fn ask(&self, queries: &[Query]) -> Vec<Answer> {
        let of = |Violation { tail, case, .. }: &Violation<'_>| -> Vec<Answer> {
            let answers = case.answer(queries, &tail.rpcs());
            let log = |l| Answer { log_ms: tail.log_ms(l), mean: tail.mean_log_ms(l) };
            answers.iter().map(log).collect()
        };
        let mut sums = vec![Answer { log_ms: 0.0, mean: 0.0 }; queries.len()];
        for answers in parallel::map(&self.intervals, self.threads(queries.len()), of) {
            for (sum, answer) in sums.iter_mut().zip(&answers) {
                sum.log_ms += answer.log_ms;
                sum.mean += answer.mean;
            }
        }
        let n = self.intervals.len() as f64;
        for sum in &mut sums {
            sum.log_ms /= n;
            sum.mean /= n;
        }
        sums
    }

    /// The newest interval.
    pub(super) fn newest(&self) -> Option<&Frame> {
        self.intervals.last().map(|v| v.frame)
    }

    /// Latencies of `rpcs` in the newest interval under one query.
    pub(super) fn ask_newest(&self, query: &Query, rpcs: &[usize]) -> Option<Latencies> {
        let newest = self.intervals.last()?;
        newest.case.answer(std::slice::from_ref(query), rpcs).pop()
    }

    /// For each world, the probability that QoS is met there: the latents of what is restored are drawn from
    /// their prior, and each draw is as likely to meet the target as calm intervals spread. Where many services
    /// are slow at once, most are so far from being the reason that a few draws tell.
    pub(super) fn probabilities(&self, queries: &[Query]) -> Vec<f64> {
        let first = if queries.len() > DRAWN_WHOLE { DRAWS_FIRST } else { DRAWS };
        let all: Vec<&Query> = queries.iter().collect();
        let mut met = self.met(&all, 0..first);
        if first < DRAWS {
            let is_open = |met: &[f64]| {
                let sure = |of: fn(f64) -> f64| met.iter().all(|p| of(*p) < DOUBT_MIN);
                !sure(|p| p) && !sure(|p| 1.0 - p)
            };
            let open: Vec<usize> = (0..met.len()).filter(|n| is_open(&met[*n])).collect();
            let worlds: Vec<&Query> = open.iter().map(|n| &queries[*n]).collect();
            for (n, rest) in open.into_iter().zip(self.met(&worlds, first..DRAWS)) {
                met[n].extend(rest);
            }
        }
        met.iter().map(|all| all.iter().sum::<f64>() / all.len() as f64).collect()
    }

    /// For each world, how likely each of the draws meets the target.
    fn met(&self, worlds: &[&Query], draws: Range<usize>) -> Vec<Vec<f64>> {
        let seeds = || draws.clone().map(|seed| Some(seed as u64));
        let drawn = |world: &&Query| {
            let world = Query::clone(world);
            seeds().map(move |draw| Query { draw, ..world.clone() })
        };
        let queries: Vec<Query> = worlds.iter().flat_map(drawn).collect();
        let met = |a: &Answer| normal_cdf((self.target - a.log_ms) / self.spread);
        let answers = self.ask(&queries);
        answers.chunks(draws.len().max(1)).map(|all| all.iter().map(met).collect()).collect()
    }

    /// How well a counterfactual latency of `log_ms` explains the violation, in 0..=1: one half where the
    /// target is just met.
    pub(super) fn sufficiency(&self, log_ms: f64) -> f64 {
        normal_cdf((self.target - log_ms) / self.slack(log_ms))
    }

    /// How exactly a counterfactual is known, in log units: the further it moved, the less.
    pub(super) fn slack(&self, log_ms: f64) -> f64 {
        SLACK * (self.observed - log_ms).abs() + SLACK_MIN
    }
}
