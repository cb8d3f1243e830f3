//! How each service looks while QoS is met, and how much that varies by itself: what a change is told
//! from.
//!
//! Three views of a service, each free of load and of what its callees do: how slow it is by itself, how
//! slow the network to it is, and where each of its metrics stands. And what passes by itself: how far from
//! normal each has been for how long.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::features::log_levels;
use super::layout::delay_levels;
use super::predict::Model;
use super::refresh::Affected;
use super::reshape::Matching;
use super::shift::moved;
use super::world::Scene;
use crate::data::{Frame, Scope, Signal};
use crate::stats::{centre_and_spread, median};

/// Calm intervals in a row that are looked at together: the fewest a change is told from.
pub(super) const WINDOW: usize = 4;
/// Windows from which it can be told how much they vary.
const WINDOWS_MIN: usize = 10;
/// Calm intervals up to which is known how far from normal a service has been for so long.
const LASTING: usize = 10;

/// How far from normal something has been for one, two, ... calm intervals in a row, at its mildest.
pub(super) type Lasting = [f64; LASTING];

/// Centre and deviation of the medians of [`WINDOW`] calm intervals, per view of one service; `None`
/// where too little is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// Smallest and largest load, log units: beyond that nothing is known.
    pub load: (f64, f64),
    /// Own slowness, log units.
    pub slowness: Option<(f64, f64)>,
    /// Delay of the network to it, log units.
    pub delay: Option<(f64, f64)>,
    /// Metrics by feature, robust deviations.
    pub metrics: Vec<Option<(f64, f64)>>,
    /// Of slowness, of the delay, and of each metric: what passed by itself.
    lasting: Vec<Lasting>,
}

/// One way to look at a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// [`Usual::slowness`]
    Slowness,
    /// [`Usual::delay`]
    Delay,
    /// One of [`Usual::metrics`].
    Metric(usize),
}

impl Usual {
    /// Every view of which is known what is usual, with that.
    pub(super) fn known(&self) -> impl Iterator<Item = (View, (f64, f64))> + '_ {
        let metrics = self.metrics.iter().enumerate();
        let metrics = metrics.filter_map(|(f, usual)| Some((View::Metric(f), (*usual)?)));
        let slowness = self.slowness.map(|usual| (View::Slowness, usual));
        let delay = self.delay.map(|usual| (View::Delay, usual));
        slowness.into_iter().chain(delay).chain(metrics)
    }

    /// How far from normal a view has been for `count` calm intervals in a row, or for as many as is known.
    pub(super) fn lasted(&self, view: View, count: usize) -> f64 {
        let lasting = self.lasting.get(view.place());
        lasting.map_or(0.0, |l| l[count.clamp(1, LASTING) - 1])
    }

    /// Whether a load is one of those under which this was learnt, or nearly.
    pub(super) fn knows(&self, load: f64) -> bool {
        /// Log units by which a load may be out of range.
        const MARGIN: f64 = 0.1;
        (self.load.0 - MARGIN..=self.load.1 + MARGIN).contains(&load)
    }
}

impl View {
    /// Where it stands among all views of a service.
    fn place(self) -> usize {
        match self {
            Self::Slowness => 0,
            Self::Delay => 1,
            Self::Metric(f) => 2 + f,
        }
    }

    /// All views, of so many features.
    fn all(features: usize) -> impl Iterator<Item = Self> {
        [Self::Slowness, Self::Delay].into_iter().chain((0..features).map(Self::Metric))
    }
}

/// The views of every service in one frame; NaN where nothing was seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    /// ln of the load relative to normal: `[service]`
    pub load: Vec<f64>,
    /// `[service]`
    pub slowness: Vec<f64>,
    /// `[service]`
    pub delay: Vec<f64>,
    /// `[service, feature]`
    pub metrics: Array2<f64>,
}

impl Look {
    /// One view of service `j`.
    pub(super) fn of(&self, j: usize, view: View) -> f64 {
        match view {
            View::Slowness => self.slowness[j],
            View::Delay => self.delay[j],
            View::Metric(f) => self.metrics[[j, f]],
        }
    }

    /// Looks at a frame with the eyes of `model`.
    pub(super) fn at(model: &Model, frame: &Frame) -> Self {
        let (seen, inputs) = model.look_at(frame);
        let scene = Scene::new(&model.evaluator, seen, &inputs.at_normal());
        let net = &model.net;
        let services = net.services.len();
        let excess: Vec<f64> = scene
            .excess()
            .into_iter()
            .map(|levels| levels.map_or(f64::NAN, |l| f64::from(l.iter().sum::<f32>()) / 5.0))
            .collect();
        let layout = &model.evaluator.layout;
        let delay = |i: usize| -> f64 {
            let rpc = frame.rpc(&net.rpcs[i].key).filter(|w| w.count > 0);
            let usual = [2, 3].map(|kind: usize| layout.normal[kind][i]);
            let at = |q: usize| {
                let sum = super::layout::to_ms(usual[0][q]) + super::layout::to_ms(usual[1][q]);
                f64::from(super::layout::log_ms(sum))
            };
            let usual = f64::midpoint(at(0), at(2));
            rpc.map_or(f64::NAN, |w| delay_levels(w)[0] - usual)
        };
        let mean = |values: Vec<f64>| {
            let seen: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
            seen.iter().sum::<f64>() / seen.len() as f64
        };
        let served = |j: usize| model.evaluator.served[j].iter().copied();
        let paired = |i: &usize| model.evaluator.has_net(*i);
        Self {
            load: model.features.loads_of(frame, net),
            slowness: (0..services).map(|j| mean(served(j).map(|i| excess[i]).collect())).collect(),
            delay: (0..services)
                .map(|j| mean(served(j).filter(paired).map(delay).collect()))
                .collect(),
            metrics: metrics(model, frame),
        }
    }
}

/// Deviation of every metric of use from what load and work in flight explain, in robust deviations. That a
/// service goes short of something is trouble and not a new normal, so metrics of shortage do not count. What a
/// host does, others on it do: an application that has changed shows that in metrics of its own.
fn metrics(model: &Model, frame: &Frame) -> Array2<f64> {
    let (features, net) = (&model.features, &model.net);
    let levels = log_levels(&[frame], net, &features.features);
    let (loads, in_flight) = (features.loads_of(frame, net), features.in_flight.of(frame, net));
    Array2::from_shape_fn((net.services.len(), features.features.len()), |(j, f)| {
        let feature = &features.features[f];
        let is_own = feature.scope != Scope::Node;
        let is_of_use = feature.kept && feature.signal == Signal::Usage && is_own;
        match &features.baselines[j][f] {
            Some(b) if is_of_use => b.score(levels[[j, f, 0]], loads[j], in_flight[j]),
            _ => f64::NAN,
        }
    })
}

impl Usual {
    /// Learns every service's views from looks at calm intervals in order.
    pub(super) fn learn(looks: &[Look], services: usize) -> Vec<Self> {
        let features = looks.first().map_or(0, |l| l.metrics.ncols());
        let of = |j: usize| {
            let seen = |view| looks.iter().map(move |l| l.of(j, view)).collect::<Vec<f64>>();
            let views: Vec<_> = View::all(features).map(|view| windows(&seen(view))).collect();
            let lasting = View::all(features).zip(&views).map(|(view, known)| {
                known.map_or([0.0; LASTING], |(centre, _)| lasting(&seen(view), centre))
            });
            Self { lasting: lasting.collect(), ..Self::of_views(load_range(looks, j), &views) }
        };
        (0..services).map(of).collect()
    }

    /// What is usual after a change: a trained service is where the `looks` since the change show it, and
    /// varies as it always did; one that is new varies as others do. Others stay what they were.
    pub(super) fn refreshed(
        base: &[Self],
        looks: &[Look],
        matching: &Matching,
        affected: &Affected,
    ) -> Vec<Self> {
        let typical = Self::typical(base);
        let of = |(j, was): (usize, &Option<usize>)| match was.and_then(|was| base.get(was)) {
            Some(was) if !affected.trained[j] => was.clone(),
            Some(was) => was.moved(looks, j),
            None => typical.moved(looks, j),
        };
        matching.services.iter().enumerate().map(of).collect()
    }

    fn of_views(load: (f64, f64), views: &[Option<(f64, f64)>]) -> Self {
        Self {
            load,
            slowness: views[0],
            delay: views[1],
            metrics: views[2..].to_vec(),
            lasting: Vec::new(),
        }
    }

    fn views(&self) -> Vec<Option<(f64, f64)>> {
        [self.slowness, self.delay].into_iter().chain(self.metrics.iter().copied()).collect()
    }

    /// The same variation around what few looks show. How far off their middle may be counts as variation.
    fn moved(&self, looks: &[Look], j: usize) -> Self {
        let view = |(view, known): (View, Option<(f64, f64)>)| {
            let (centre, spread) = known?;
            let seen = looks.iter().map(|l| l.of(j, view)).filter(|v| v.is_finite());
            let moves: Vec<f64> = seen.map(|v| v - centre).collect();
            let doubt = WINDOW as f64 / moves.len() as f64;
            let is_seen = !moves.is_empty();
            is_seen.then(|| (centre + moved(&moves, spread), spread * (1.0 + doubt).sqrt()))
        };
        let views: Vec<_> = View::all(self.metrics.len()).zip(self.views()).map(view).collect();
        let seen = load_range(looks, j);
        let load = (self.load.0.min(seen.0), self.load.1.max(seen.1));
        Self { lasting: self.lasting.clone(), ..Self::of_views(load, &views) }
    }

    /// What is usual among services: for one of which too little was seen. Nothing is known to have lasted.
    fn typical(all: &[Self]) -> Self {
        let views: Vec<Vec<Option<(f64, f64)>>> = all.iter().map(Self::views).collect();
        let width = views.iter().map(Vec::len).max().unwrap_or(2);
        let view = |n: usize| {
            let known = || views.iter().filter_map(|v| *v.get(n)?);
            Some((0.0, median(known().map(|(_, spread)| spread))?))
        };
        let load = |pick: fn(&Self) -> f64| median(all.iter().map(pick)).unwrap_or(0.0);
        let views: Vec<_> = (0..width).map(view).collect();
        Self::of_views((load(|u| u.load.0), load(|u| u.load.1)), &views)
    }
}

/// Smallest and largest load of service `j`.
fn load_range(looks: &[Look], j: usize) -> (f64, f64) {
    let wider = |(low, high): (f64, f64), l: &Look| (low.min(l.load[j]), high.max(l.load[j]));
    looks.iter().fold((f64::MAX, f64::MIN), wider)
}

/// For every length: the largest distance from `centre`, to one side, that so many values in a row all had.
fn lasting(values: &[f64], centre: f64) -> Lasting {
    let mut found = [0.0; LASTING];
    for side in [1.0, -1.0] {
        for end in 0..values.len() {
            let mut mildest = f64::INFINITY;
            for (length, value) in values[..=end].iter().rev().take(LASTING).enumerate() {
                let distance = (value - centre) * side;
                if distance.is_nan() || distance <= 0.0 {
                    break;
                }
                mildest = mildest.min(distance);
                found[length] = f64::max(found[length], mildest);
            }
        }
    }
    found
}

/// Centre and spread of the medians of every [`WINDOW`] values in a row.
fn windows(values: &[f64]) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let medians: Vec<f64> =
        values.windows(WINDOW).filter_map(|w| median(w.iter().copied())).collect();
    let (centre, up) = centre_and_spread(&medians).filter(|_| medians.len() >= WINDOWS_MIN)?;
    // Both directions count here, so the lower tail has its say as well.
    let below: Vec<f64> = medians.iter().map(|m| -m).collect();
    let (_, down) = centre_and_spread(&below)?;
    Some((centre, up.max(down)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_as_severe_as_its_mildest_moment_and_to_one_side() {
        let found = lasting(&[0.0, 8.0, 9.0, 5.0, 1.0, -7.0, -6.0, f64::NAN, 3.0], 0.0);
        assert_eq!(found[..5], [9.0, 8.0, 5.0, 1.0, 0.0]);
    }

    fn look(slowness: f64) -> Look {
        let (load, delay) = (vec![0.0], vec![f64::NAN]);
        Look { load, slowness: vec![slowness], delay, metrics: Array2::zeros((1, 0)) }
    }

    #[test]
    fn few_looks_move_what_is_usual_and_leave_doubt() {
        let looks: Vec<Look> = (0..100).map(|n| look(0.01 * f64::from(n % 7))).collect();
        let usual = Usual::learn(&looks, 1).remove(0);
        let (centre, spread) = usual.slowness.unwrap();
        assert_eq!(usual.delay, None);
        let since: Vec<Look> = (0..WINDOW).map(|_| look(1.0)).collect();
        let now = usual.moved(&since, 0);
        let (moved_to, wider) = now.slowness.unwrap();
        assert!((moved_to - 1.0).abs() < 0.05 && centre < 0.1, "{moved_to} {centre}");
        assert!((wider / spread - 2f64.sqrt()).abs() < 1e-9);
        assert_eq!(now.lasted(View::Slowness, 3), usual.lasted(View::Slowness, 3));
        // One that is new varies as others do, and nothing is known to have passed.
        let new = Usual::typical(&[usual]).moved(&since, 0);
        assert_eq!(new.slowness.unwrap().1, wider);
        assert_eq!(new.lasted(View::Slowness, 1), 0.0);
    }
}
