//! How each service looks while QoS is met, and how much that varies by itself: what a change is told
//! from.
//!
//! Three views of a service, each free of load and of what its callees do: how slow it is by itself, how
//! slow the network to it is, and where each of its metrics stands.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::features::log_levels;
use super::layout::delay_level;
use super::predict::Model;
use super::world::Scene;
use crate::data::{Frame, Signal};
use crate::stats::{centre_and_spread, median};

/// Calm intervals in a row that are looked at together. What is harmless comes and goes within three: two
/// intervals, and the counters it spills into.
pub(super) const WINDOW: usize = 5;
/// Windows from which it can be told how much they vary.
const WINDOWS_MIN: usize = 10;

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

    /// Whether a load is one of those under which this was learnt, or nearly.
    pub(super) fn knows(&self, load: f64) -> bool {
        /// Log units by which a load may be out of range.
        const MARGIN: f64 = 0.1;
        (self.load.0 - MARGIN..=self.load.1 + MARGIN).contains(&load)
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
            rpc.map_or(f64::NAN, |w| delay_level(w) - usual)
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
/// service goes short of something is trouble and not a new normal, so metrics of shortage do not count.
fn metrics(model: &Model, frame: &Frame) -> Array2<f64> {
    let (features, net) = (&model.features, &model.net);
    let levels = log_levels(&[frame], net, &features.features);
    let (loads, in_flight) = (features.loads_of(frame, net), features.in_flight.of(frame, net));
    Array2::from_shape_fn((net.services.len(), features.features.len()), |(j, f)| {
        let feature = &features.features[f];
        let is_of_use = feature.kept && feature.signal != Signal::Saturation;
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
        (0..services)
            .map(|j| Self {
                load: looks.iter().fold((f64::MAX, f64::MIN), |(low, high), l| {
                    (low.min(l.load[j]), high.max(l.load[j]))
                }),
                slowness: windows(looks.iter().map(|l| l.slowness[j])),
                delay: windows(looks.iter().map(|l| l.delay[j])),
                metrics: (0..features)
                    .map(|f| windows(looks.iter().map(|l| l.metrics[[j, f]])))
                    .collect(),
            })
            .collect()
    }
}

/// Centre and spread of the medians of every [`WINDOW`] values in a row.
fn windows(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    let medians: Vec<f64> =
        values.windows(WINDOW).filter_map(|w| median(w.iter().copied())).collect();
    let (centre, up) = centre_and_spread(&medians).filter(|_| medians.len() >= WINDOWS_MIN)?;
    // Both directions count here, so the lower tail has its say as well.
    let below: Vec<f64> = medians.iter().map(|m| -m).collect();
    let (_, down) = centre_and_spread(&below)?;
    Some((centre, up.max(down)))
}
