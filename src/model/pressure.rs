//! What of a usage metric work in flight explains.
//!
//! Whoever waits for a slow callee holds more requests, and with them more memory, more threads, more
//! processor time: usage rises at every tier above a culprit, and at a culprit whatever its trouble is.
//! How much a metric usually rises with the work in flight is learnt from the intervals in which a service waits for
//! others, if there are enough. Where it is slow by itself, a shortage of this very resource may be why, but of all that
//! slows a service down that is the smaller part.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::layout::{log_ms, mean_ms};
use super::load::{per_service, served};
use super::shift::moved;
use crate::data::{Frame, RpcKind};
use crate::graph::CausalNet;
use crate::stats::{median, quantile};

/// Edges of the bins of work in flight, ln relative to normal. The first bin is calm and explains nothing.
const EDGES: [f64; 6] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0];
/// Values in a bin before they are believed, of one service and of all.
const VALUES_MIN: (usize, usize) = (12, 24);
/// How far beyond what was seen a rise is continued, ln of work in flight.
const BEYOND_MAX: f64 = 2.5;
/// Share of what is more than usual in flight that must wait for others.
const WAITING_MIN: f64 = 0.7;
/// Keeps the logarithm of work in flight finite.
const BUSY_MIN: f64 = 1e-6;

/// One feature at one service, or at all of them.
///
/// What each request holds adds up, so the level rises in proportion to the requests:
/// `level / normal = 1 + c (n - 1)` with `n` times the normal work in flight. `c` is learnt bin by bin, because
/// pools and caps bend the line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pressure {
    /// By bin: `c`, and its deviation.
    bins: [Option<(f64, f64)>; EDGES.len()],
}

/// What a metric was seen to do: (ln of work in flight, rise in log units).
#[derive(Clone, Debug, Default)]
pub(super) struct Rises {
    /// While the service waited for others.
    pub(super) waiting: Vec<(f64, f64)>,
    /// Always.
    pub(super) all: Vec<(f64, f64)>,
}

impl Pressure {
    /// Fits what one service has shown, or all of them; `elsewhere` stands in where that is too little.
    pub(super) fn fit(rises: &Rises, elsewhere: Option<&Self>) -> Self {
        let enough = if elsewhere.is_some() { VALUES_MIN.0 } else { VALUES_MIN.1 };
        let of = |n: usize, pairs: &[(f64, f64)]| {
            let inside = pairs.iter().filter(|(h, _)| bin_of(*h) == Some(n));
            let slopes: Vec<f64> = inside.map(|(h, rise)| rise.exp_m1() / h.exp_m1()).collect();
            if slopes.len() >= enough { usual(&slopes) } else { None }
        };
        let bin = |n: usize| {
            let own = of(n, &rises.waiting).or_else(|| of(n, &rises.all));
            own.or_else(|| elsewhere.and_then(|e| e.bins[n]))
        };
        Self { bins: std::array::from_fn(bin) }
    }

    /// What is usual among services: for one of which too little was seen.
    pub(super) fn typical(all: &[&Self]) -> Self {
        let bin = |n: usize| {
            let middle = |pick: fn((f64, f64)) -> f64| {
                median(all.iter().filter_map(|p| p.bins[n]).map(pick))
            };
            Some((middle(|b| b.0)?, middle(|b| b.1)?))
        };
        Self { bins: std::array::from_fn(bin) }
    }

    /// Usual rise at this much work in flight, and deviation around it.
    pub(super) fn at(&self, in_flight: f64) -> (f64, f64) {
        let Some(n) = bin_of(in_flight) else { return (0.0, 0.0) };
        let seen = (0..=n).rev().find_map(|m| self.bins[m].map(|usual| (m, usual)));
        let Some((m, (slope, deviation))) = seen else { return (0.0, 0.0) };
        let more = in_flight.min(EDGES[m] + BEYOND_MAX).exp_m1();
        let rise = slope * more;
        (rise.ln_1p(), deviation * more / (1.0 + rise))
    }
}

/// Centre and deviation of what is usual, from the lower half alone: up to half of the values may be
/// those of a real shortage, and those lie above. Distances are those of a normal distribution.
fn usual(slopes: &[f64]) -> Option<(f64, f64)> {
    const TENTH: f64 = 1.2816;
    const QUARTER: f64 = 0.6745;
    let at = |q: f64| quantile(slopes.iter().copied(), q);
    let (tenth, quarter) = (at(0.1)?, at(0.25)?);
    let sigma = (quarter - tenth) / (TENTH - QUARTER);
    Some(((quarter + QUARTER * sigma).max(0.0), sigma))
}

fn bin_of(in_flight: f64) -> Option<usize> {
    EDGES.iter().rposition(|edge| in_flight >= *edge)
}

/// What all requests of each service take together in half a minute: `[service]`. The mean counts, not the median: of many kinds of
/// requests, few that take long are most of what is in flight.
fn busy(frame: &Frame, net: &CausalNet) -> Vec<f64> {
    per_service(frame, net, |w| frame.requests(w) * f64::from(mean_ms(&w.server.0.map(log_ms))))
}

/// Work in flight of every service (requests times their time at the server: Little's law) while QoS is
/// met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct InFlight {
    normal: Vec<f64>,
}

impl InFlight {
    /// Medians over frames that met QoS.
    pub(super) fn fit(frames: &[&Frame], met: &[bool], net: &CausalNet) -> Self {
        let calm = frames.iter().zip(met).filter(|(_, met)| **met);
        let calm: Vec<Vec<f64>> = calm.map(|(f, _)| busy(f, net)).collect();
        let middle = |j: usize| median(calm.iter().map(|b| b[j])).unwrap_or(0.0);
        Self { normal: (0..net.services.len()).map(middle).collect() }
    }

    /// The same for `net` after a change: services that were not `trained` keep what they had where they
    /// were, trained ones move as far as `calm` frames say once their `load` (service, frame) is accounted
    /// for, new ones are as counted.
    pub(super) fn refreshed(
        &self,
        calm: &[&Frame],
        net: &CausalNet,
        (matching, trained): (&[Option<usize>], &[bool]),
        load: impl Fn(usize, usize) -> f64,
    ) -> Self {
        let counted = Self::fit(calm, &vec![true; calm.len()], net);
        let known = |j: usize| matching[j].map_or(counted.normal[j], |was| self.normal[was]);
        let known = Self { normal: (0..net.services.len()).map(known).collect() };
        let requests: Vec<Vec<f64>> = calm.iter().map(|f| served(f, net)).collect();
        let rise = known.of_all(calm, net);
        let refresh = |(j, normal): (usize, &f64)| {
            if !trained[j] || matching[j].is_none() {
                return *normal;
            }
            let seen = (0..calm.len()).filter(|t| requests[*t][j] > 0.0);
            let moves: Vec<f64> = seen.map(|t| rise[[j, t]] - load(j, t)).collect();
            normal.max(BUSY_MIN) * moved(&moves, 0.0).exp()
        };
        Self { normal: known.normal.iter().enumerate().map(refresh).collect() }
    }

    /// ln relative to normal, by service.
    pub(super) fn of(&self, frame: &Frame, net: &CausalNet) -> Vec<f64> {
        let log = |(now, normal): (f64, &f64)| (now.max(BUSY_MIN) / normal.max(BUSY_MIN)).ln();
        busy(frame, net).into_iter().zip(&self.normal).map(log).collect()
    }

    /// The same of many frames.
    ///
    /// # Shapes
    /// `[service, frame]`
    pub(super) fn of_all(&self, frames: &[&Frame], net: &CausalNet) -> Array2<f64> {
        let by_frame: Vec<Vec<f64>> = frames.iter().map(|f| self.of(f, net)).collect();
        Array2::from_shape_fn((self.normal.len(), frames.len()), |(j, t)| by_frame[t][j])
    }
}

/// Whether what is more than usual in flight at each service waits for others.
///
/// # Shapes
/// `[service, frame]`
pub(super) fn waits_for_others(frames: &[&Frame], net: &CausalNet, met: &[bool]) -> Array2<bool> {
    let work: Vec<[Vec<f64>; 2]> = frames.iter().map(|f| [busy(f, net), calls(f, net)]).collect();
    let calm = || work.iter().zip(met).filter(|(_, met)| **met).map(|(work, _)| work);
    let normal = |k: usize, j: usize| median(calm().map(|work| work[k][j])).unwrap_or(0.0);
    let count = net.services.len();
    let usual: Vec<[f64; 2]> = (0..count).map(|j| [normal(0, j), normal(1, j)]).collect();
    Array2::from_shape_fn((count, frames.len()), |(j, t)| {
        let [more, waiting] = [0, 1].map(|k| work[t][k][j] - usual[j][k]);
        more > 0.0 && waiting >= WAITING_MIN * more
    })
}

/// What all calls of each service take together in half a minute: `[service]`. What callees say counts where they say it: a caller that
/// is starved itself takes up late what has long arrived.
fn calls(frame: &Frame, net: &CausalNet) -> Vec<f64> {
    let mut sums = vec![0.0; net.services.len()];
    for window in frame.rpcs.iter().filter(|w| w.kind != RpcKind::Messaging) {
        if let Some(j) = net.service(&window.key.caller) {
            sums[j] += frame.requests(window) * f64::from(mean_ms(&window.server.0.map(log_ms)));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each request more holds a tenth of what normally all do, give or take a little; every third time a shortage
    /// triples what there is.
    fn pairs(count: usize) -> Vec<(f64, f64)> {
        let noise = |n: usize| 0.002 * ((n * 7 % 5) as f64 - 2.0);
        let shortage = |n: usize| if n.is_multiple_of(3) { 3.0_f64 } else { 1.0 };
        let in_flight = |n: usize| 2.1 + 0.04 * (n % 20) as f64;
        let rise = |n: usize| ((0.1 + noise(n)) * in_flight(n).exp_m1()).ln_1p() + shortage(n).ln();
        (0..count).map(|n| (in_flight(n), rise(n))).collect()
    }

    fn fit(pairs: Vec<(f64, f64)>, elsewhere: Option<&Pressure>) -> Pressure {
        Pressure::fit(&Rises { waiting: pairs, all: Vec::new() }, elsewhere)
    }

    fn expected(in_flight: f64) -> f64 {
        (0.1 * in_flight.exp_m1()).ln_1p()
    }

    #[test]
    fn what_is_usual_is_learnt_although_a_third_is_not() {
        let all = fit(pairs(60), None);
        for in_flight in [2.1, 2.5, 2.9] {
            let (usual, deviation) = all.at(in_flight);
            assert!((usual - expected(in_flight)).abs() < 0.02, "{in_flight}: {usual}");
            assert!(deviation < 0.05, "{deviation}");
        }
    }

    #[test]
    fn calm_explains_nothing_and_more_than_was_ever_seen_in_proportion() {
        let fit = fit(pairs(60), None);
        assert_eq!(fit.at(0.2), (0.0, 0.0));
        assert!((fit.at(4.0).0 - expected(4.0)).abs() < 0.05);
        assert_eq!(fit.at(9.0), fit.at(4.5));
        assert_eq!(fit.at(1.2), (0.0, 0.0));
    }

    #[test]
    fn who_has_seen_too_little_is_taken_to_be_like_the_others() {
        let all = fit(pairs(60), None);
        assert_eq!(fit(pairs(5), Some(&all)), all);
        assert_eq!(fit(pairs(20), None).at(2.5), (0.0, 0.0));
    }

    /// A leaf waits for nobody: what it shows while it is slow by itself must do.
    #[test]
    fn what_is_seen_while_waiting_for_others_goes_before_the_rest() {
        let short: Vec<(f64, f64)> =
            pairs(60).into_iter().map(|(h, rise)| (h, rise + 1.0)).collect();
        let both = Pressure::fit(&Rises { waiting: pairs(60), all: short.clone() }, None);
        assert_eq!(both, fit(pairs(60), None));
        let leaf = Pressure::fit(&Rises { waiting: Vec::new(), all: short }, Some(&both));
        assert!(leaf.at(2.5).0 > both.at(2.5).0 + 0.5);
    }
}
