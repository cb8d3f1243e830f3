//! Frames -> metric inputs of the model, and how abnormal each metric is.
//!
//! A feature's level is taken in log space relative to the service's own normal. For judging
//! abnormality it is also freed of what the load explains; the networks see it beside the load. Usage
//! is freed of what work in flight explains throughout: that is an effect of latency, not a cause.

use std::collections::BTreeMap;

use linfa::Dataset;
use linfa::traits::{Fit, Transformer};
use ndarray::{Array1, Array2, Array3};
use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, fit_baselines, fit_pressure};
use super::basis::{Basis, COMPONENTS};
use super::load::{input_of_load, load_log, loads, served};
use super::pressure::{InFlight, waits_for_others};
use super::readings::Readings;
use super::scale::{RobustScaler, RobustScalerParams, ScaleError};
use super::screen::{Cells, hosts, screen};
use crate::data::{FeatureWindow, Frame, Resource, Scale, Scope, Signal};
use crate::graph::CausalNet;
use crate::stats::quantile;

/// Numbers per service for its server-side resources (cpu, memory, disk).
pub(super) const SERVER_INPUTS: usize = 3 * COMPONENTS;
/// Numbers per service for its network.
pub(super) const NET_INPUTS: usize = COMPONENTS;

/// Beyond this share of a limit nothing is told apart.
const HEADROOM_FULL: f64 = 0.98;
/// Levels this small a share of the largest ever seen are not told apart.
const EPSILON_SHARE: f64 = 0.01;
/// Nor are shares of the time that is lost waiting so much smaller than this: what costs a thousandth of the time costs no
/// request much, however rare it is. With the least deviation there is, half a percent of the time is suspicious.
const EPSILON_STALL: f64 = 0.05;

/// One metric feature, pooled over services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Name in the feature table.
    pub name: String,
    /// What it tells about.
    pub resource: Resource,
    /// How levels compare.
    scale: Scale,
    /// Added to the level before the logarithm.
    epsilon: f64,
    /// Whether it tells of use or of shortage.
    pub signal: Signal,
    /// Whom it describes.
    pub(super) scope: Scope,
    /// Whether it is a cause rather than an effect of latency.
    pub kept: bool,
    /// Whether it is ever abnormal.
    pub(super) moves: bool,
}

impl Feature {
    /// Where a level stands on a scale on which equal distances mean equally much.
    fn position(&self, level: f64) -> f64 {
        match self.scale {
            Scale::Log => (level.max(0.0) + self.epsilon).ln(),
            // As waiting grows with load in a queue: from 90 to 95 % as much as from 80 to 90 %.
            Scale::Headroom => -(1.0 - level.clamp(0.0, HEADROOM_FULL)).ln(),
        }
    }

    /// Whether it is use as a share of a limit. That says how much there is left, not that anybody goes without.
    pub(super) fn is_share_of_limit(&self) -> bool {
        self.scale == Scale::Headroom
    }

    /// The level at one position as a share of the one at another.
    fn share(&self, position: f64, of: f64) -> f64 {
        let level = |position: f64| match self.scale {
            Scale::Log => position.exp(),
            Scale::Headroom => -(-position).exp_m1(),
        };
        level(position) / level(of).max(f64::MIN_POSITIVE)
    }
}

/// Everything learnt about metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureModel {
    /// Features, by name.
    pub features: Vec<Feature>,
    pub(super) scaler: RobustScaler,
    /// By resource.
    pub(super) bases: Vec<Basis>,
    /// `[service][feature]`; `None` where the service has no such metric.
    pub(super) baselines: Vec<Vec<Option<Baseline>>>,
    /// Median requests served per interval, by service.
    pub(super) requests: Vec<f64>,
    pub(super) in_flight: InFlight,
    /// Services that have changed since most of the history was written: what they show there is not
    /// normal for them any more, their baseline is. Empty when there are none.
    pub(super) changed: Vec<bool>,
}

/// How abnormal one feature is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Index of the feature.
    pub feature: usize,
    /// Robust z-score against the service's own past, freed of load.
    pub z: f64,
    /// Deviation in units of what faults anywhere do to this feature.
    pub amplitude: f64,
    /// The level as a share of the highest that the service has shown.
    pub share: f64,
}

/// Metric inputs of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// `[service, SERVER_INPUTS]`
    pub server: Array2<f32>,
    /// `[service, NET_INPUTS]`
    pub net: Array2<f32>,
    /// `[service]`
    pub load: Array1<f32>,
}

/// Log levels of every feature: `[service, feature, frame]`, NaN where missing.
pub(super) fn log_levels(frames: &[&Frame], net: &CausalNet, features: &[Feature]) -> Array3<f64> {
    let shape = (net.services.len(), features.len(), frames.len());
    let mut levels = Array3::from_elem(shape, f64::NAN);
    for (t, frame) in frames.iter().enumerate() {
        for (j, service) in net.services.iter().enumerate() {
            let Some(window) = frame.service(service) else { continue };
            for feature in &window.features {
                let at = features.binary_search_by(|f| (*f.name).cmp(&*feature.name));
                if let Ok(f) = at {
                    levels[[j, f, t]] = features[f].position(feature.level());
                }
            }
        }
    }
    levels
}

impl FeatureModel {
    /// Learns from frames; `met[t]` says whether QoS was met in frame `t`.
    ///
    /// # Errors
    /// [`ScaleError::Empty`] when there is no frame.
    pub fn fit(frames: &[&Frame], met: &[bool], net: &CausalNet) -> Result<Self, ScaleError> {
        let features = find_features(frames);
        let levels = log_levels(frames, net, &features);
        let (requests, load) = loads(frames, net, met);
        let in_flight = InFlight::fit(frames, met, net);
        let heat = in_flight.of_all(frames, net);
        let mut baselines = fit_baselines(&levels, &load, met, &features);
        let waits = waits_for_others(frames, net, met);
        fit_pressure(&mut baselines, &levels, &load, (&heat, &waits), &features);
        let mut this = Self {
            scaler: RobustScalerParams
                .fit(&Dataset::new(Array2::zeros((1, features.len())), Array1::zeros(1)))?,
            bases: Vec::new(),
            baselines,
            requests,
            in_flight,
            changed: Vec::new(),
            features,
        };
        let scores = this.all_scores(&levels, &load, &heat);
        let cells = Cells::new(scores, &heat, net, &hosts(frames, net), met);
        screen(&mut this.features, &cells);
        this.fit_scale_and_bases(&levels, &heat)?;
        Ok(this)
    }

    /// Scores of every (service, feature, frame), NaN where nothing is known.
    fn all_scores(
        &self,
        levels: &Array3<f64>,
        load: &Array2<f64>,
        heat: &Array2<f64>,
    ) -> Array3<f64> {
        Array3::from_shape_fn(levels.dim(), |(j, f, t)| {
            self.baselines[j][f]
                .as_ref()
                .map_or(f64::NAN, |b| b.score(levels[[j, f, t]], load[[j, t]], heat[[j, t]]))
        })
    }

    fn fit_scale_and_bases(
        &mut self,
        levels: &Array3<f64>,
        heat: &Array2<f64>,
    ) -> Result<(), ScaleError> {
        let (services, features, frames) = levels.dim();
        let used = Array2::from_shape_fn((services, features), |(j, f)| self.is_used(j, f));
        let deviation = |j: usize, f: usize, t: usize| match &self.baselines[j][f] {
            Some(b) if used[[j, f]] => b.deviation(levels[[j, f, t]], heat[[j, t]]),
            _ => f64::NAN,
        };
        let rows = Array2::from_shape_fn((services * frames, features), |(row, f)| {
            deviation(row / frames, f, row % frames)
        });
        let of_service = Array1::from_shape_fn(services * frames, |row| row / frames);
        let data = Dataset::new(rows, of_service);
        self.scaler = RobustScalerParams.fit(&data)?;
        let scaled = self.scaler.transform(data.records);
        self.bases = Resource::ALL
            .iter()
            .map(|resource| {
                let columns: Vec<usize> = self.of_resource(*resource).collect();
                Basis::fit(&scaled.select(ndarray::Axis(1), &columns))
            })
            .collect();
        Ok(())
    }

    /// Whether feature `f` speaks for service `j`. Shortage is what slows a service down; use is a
    /// stand-in where the service shows no shortage. That its host does is not the same.
    fn is_used(&self, j: usize, f: usize) -> bool {
        let feature = &self.features[f];
        if !feature.kept || self.baselines[j][f].is_none() {
            return false;
        }
        let shows_shortage = || {
            self.of_resource(feature.resource).any(|g| {
                let other = &self.features[g];
                other.signal != Signal::Usage
                    && other.scope != Scope::Node
                    && other.moves
                    && self.baselines[j][g].is_some()
            })
        };
        feature.signal != Signal::Usage || !shows_shortage()
    }

    /// Services it knows the metrics of.
    pub(super) fn services(&self) -> usize {
        self.baselines.len()
    }

    /// Indices of the kept features of `resource`.
    fn of_resource(&self, resource: Resource) -> impl Iterator<Item = usize> + '_ {
        let of = move |f: &Feature| f.kept && f.resource == resource;
        self.features.iter().enumerate().filter(move |(_, f)| of(f)).map(|(i, _)| i)
    }

    /// Metric inputs of one frame.
    pub fn inputs(&self, frame: &Frame, net: &CausalNet) -> Inputs {
        self.inputs_of(&self.read(frame, net))
    }

    /// Metric inputs of one frame that was read.
    pub(super) fn inputs_of(&self, frame: &Readings) -> Inputs {
        let Readings { levels, loads, in_flight } = frame;
        let services = loads.len();
        let mut inputs = Inputs {
            server: Array2::zeros((services, SERVER_INPUTS)),
            net: Array2::zeros((services, NET_INPUTS)),
            load: Array1::zeros(services),
        };
        for j in 0..services {
            inputs.load[j] = input_of_load(loads[j]);
            for (r, resource) in Resource::ALL.iter().enumerate() {
                let scaled: Vec<f64> = self
                    .of_resource(*resource)
                    .map(|f| match &self.baselines[j][f] {
                        Some(b) if self.is_used(j, f) => {
                            self.scaler.scale(f, b.deviation(levels[[j, f, 0]], in_flight[j]))
                        }
                        _ => 0.0,
                    })
                    .collect();
                let mut out = [0.0; COMPONENTS];
                self.bases[r].project(&scaled, &mut out);
                let row = ndarray::ArrayView1::from(&out);
                let from = r * COMPONENTS;
                if *resource == Resource::Network {
                    inputs.net.row_mut(j).assign(&row);
                } else {
                    let place = ndarray::s![j, from..from + COMPONENTS];
                    inputs.server.slice_mut(place).assign(&row);
                }
            }
        }
        inputs
    }

    /// ln(requests served / median of that), by service.
    pub(super) fn loads_of(&self, frame: &Frame, net: &CausalNet) -> Vec<f64> {
        let normal = self.requests.iter();
        served(frame, net).into_iter().zip(normal).map(|(now, n)| load_log(now, *n)).collect()
    }

    /// How far `frame` is from `normal`, by service and kept feature.
    pub fn scores(&self, frame: &Frame, normal: &Frame, net: &CausalNet) -> Vec<Vec<Score>> {
        self.scores_of(&self.read(frame, net), &self.read(normal, net))
    }

    /// The same of frames that were read.
    pub(super) fn scores_of(&self, frame: &Readings, normal: &Readings) -> Vec<Vec<Score>> {
        let (loads_now, loads_then) = (&frame.loads, &normal.loads);
        let (heat_now, heat_then) = (&frame.in_flight, &normal.in_flight);
        (0..loads_now.len())
            .map(|j| {
                let score = |f: usize| {
                    let b = self.baselines[j][f].as_ref()?;
                    let (now, then) = (frame.levels[[j, f, 0]], normal.levels[[j, f, 0]]);
                    let (usual_z, usual) = if self.has_changed(j) {
                        (0.0, 0.0)
                    } else {
                        let z = b.score(then, loads_then[j], heat_then[j]);
                        (z, b.deviation(then, heat_then[j]))
                    };
                    let z = b.score(now, loads_now[j], heat_now[j]) - usual_z;
                    let deviation = b.deviation(now, heat_now[j]) - usual;
                    let amplitude = self.scaler.scale(f, deviation);
                    let share = self.features[f].share(now, b.high);
                    z.is_finite().then_some(Score { feature: f, z, amplitude, share })
                };
                (0..self.features.len()).filter(|f| self.is_used(j, *f)).filter_map(score).collect()
            })
            .collect()
    }

    /// How far each service's own use of processors is beyond all that calm has shown, in log units; `None` without
    /// such a metric. Waiting holds memory and threads, but it does not compute: what work in flight explains of other
    /// use, it does not of this, where the service is slow by itself.
    pub(super) fn busy(&self, now: &Readings) -> Vec<Option<f64>> {
        let is_own_use = |feature: &Feature| {
            feature.resource == Resource::Cpu
                && feature.signal == Signal::Usage
                && feature.scope != Scope::Node
        };
        let beyond = |j: usize, f: usize| {
            let baseline = self.baselines[j][f].as_ref()?;
            Some(now.levels[[j, f, 0]] - baseline.calm_high).filter(|by| by.is_finite())
        };
        let of = |j: usize| {
            let own = (0..self.features.len()).filter(|f| is_own_use(&self.features[*f]));
            own.filter_map(|f| beyond(j, f)).reduce(f64::max)
        };
        (0..self.baselines.len()).map(of).collect()
    }

    /// Whether service `j` itself, and not only its host, has a metric of shortage of `resource`. One that never
    /// moves, as a count of dropped packets where none is ever dropped, bears witness to nothing.
    pub fn has(&self, j: usize, resource: Resource) -> bool {
        let is_own = |f: usize| {
            let feature = &self.features[f];
            feature.scope != Scope::Node && feature.signal != Signal::Usage && feature.moves
        };
        self.of_resource(resource).any(|f| is_own(f) && self.baselines[j][f].is_some())
    }
}

impl Inputs {
    /// The same load with every metric normal.
    pub fn at_normal(&self) -> Self {
        Self {
            server: Array2::zeros(self.server.dim()),
            net: Array2::zeros(self.net.dim()),
            load: self.load.clone(),
        }
    }
}

/// Features of resources that occur in the frames, with their epsilon.
fn find_features(frames: &[&Frame]) -> Vec<Feature> {
    let mut levels: BTreeMap<&str, (&FeatureWindow, Resource, Vec<f64>)> = BTreeMap::new();
    for feature in frames.iter().flat_map(|f| &f.services).flat_map(|s| &s.features) {
        if let Some(resource) = feature.role.resource() {
            let entry = levels.entry(&feature.name).or_insert((feature, resource, Vec::new()));
            // An older interval may know it as something else.
            (entry.0, entry.1) = (feature, resource);
            entry.2.push(feature.level());
        }
    }
    levels
        .into_iter()
        .map(|(name, (of, resource, values))| {
            let high = quantile(values.iter().copied(), 0.999).unwrap_or(0.0);
            let high = if high > 0.0 { high } else { values.iter().copied().fold(0.0, f64::max) };
            let epsilon = if high > 0.0 { high * EPSILON_SHARE } else { EPSILON_SHARE };
            let least = if of.signal == Signal::Stall { EPSILON_STALL } else { 0.0 };
            Feature {
                name: name.into(),
                resource,
                signal: of.signal,
                scale: of.scale,
                scope: of.scope,
                epsilon: epsilon.max(least),
                kept: true,
                moves: false,
            }
        })
        .collect()
}
