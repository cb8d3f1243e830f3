//! What is usual, and how far something is from it.

use std::collections::BTreeMap;

use super::view::{latencies, metrics, own_times};
use crate::data::{Frame, Name, Resource};
use crate::stats::centre_and_spread;

/// A spread below this share of the level counts as that.
const SPREAD_MIN: f64 = 0.05;
/// Levels below this share of the largest usual one at any service are not told apart.
const FLOOR: f64 = 0.01;
/// A deviation that deserves attention, in spreads: the rule of three sigma.
pub(super) const REMARKABLE: f64 = 3.0;

/// Usual level of one series. Levels compare by their ratio, so it is one of logarithms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    centre: f64,
    spread: f64,
    floor: f64,
}

impl Level {
    /// Of these values; `None` when there are none.
    pub(super) fn of(values: &[f64], floor: f64) -> Option<Self> {
        let logs: Vec<f64> = values.iter().map(|v| log(*v, floor)).collect();
        let (centre, spread) = centre_and_spread(&logs)?;
        Some(Self { centre, spread: spread.max(SPREAD_MIN), floor })
    }

    /// How many spreads `value` is above what is usual.
    pub(super) fn deviation(&self, value: f64) -> f64 {
        (log(value, self.floor) - self.centre) / self.spread
    }
}

fn log(value: f64, floor: f64) -> f64 {
    (value.max(0.0) + floor.max(1e-12)).ln()
}

/// Usual levels of all metrics and latencies.
#[derive(Clone, Debug, Default)]
pub(super) struct Usual {
    metrics: BTreeMap<Name, BTreeMap<Name, Level>>,
    latencies: BTreeMap<Name, Level>,
    own_times: BTreeMap<Name, Level>,
    quantile: f64,
}

impl Usual {
    /// Learns from frames in which nothing was wrong. Latencies are taken at `quantile`.
    pub(super) fn learn(calm: &[&Frame], quantile: f64) -> Self {
        let mut columns: BTreeMap<(&Name, &Name), Vec<f64>> = BTreeMap::new();
        let mut largest: BTreeMap<&Name, f64> = BTreeMap::new();
        for (service, feature, _) in calm.iter().flat_map(|f| metrics(f)) {
            columns.entry((service, &feature.name)).or_default().push(feature.level());
            let most = largest.entry(&feature.name).or_default();
            *most = most.max(feature.level());
        }
        let mut metrics: BTreeMap<Name, BTreeMap<Name, Level>> = BTreeMap::new();
        for ((service, name), values) in columns {
            if let Some(level) = Level::of(&values, FLOOR * largest[name]) {
                metrics.entry(service.clone()).or_default().insert(name.clone(), level);
            }
        }
        let of = |read: &dyn Fn(&Frame) -> BTreeMap<Name, f64>| levels(calm, read);
        let (latencies, own_times) = (of(&|f| latencies(f, quantile)), of(&own_times));
        Self { metrics, latencies, own_times, quantile }
    }

    /// Deviation of every metric: (service, metric, resource it tells about, deviation).
    pub(super) fn of_metrics<'a>(
        &'a self,
        frame: &'a Frame,
    ) -> impl Iterator<Item = (&'a Name, &'a Name, Resource, f64)> {
        metrics(frame).filter_map(|(service, feature, resource)| {
            let level = self.metrics.get(service)?.get(&feature.name)?;
            Some((service, &feature.name, resource, level.deviation(feature.level())))
        })
    }

    /// Deviation of every service's latency.
    pub(super) fn of_latencies(&self, frame: &Frame) -> BTreeMap<Name, f64> {
        deviations(&self.latencies, latencies(frame, self.quantile))
    }

    /// Deviation of the time every service spends itself.
    pub(super) fn of_own_times(&self, frame: &Frame) -> BTreeMap<Name, f64> {
        deviations(&self.own_times, own_times(frame))
    }

    /// The resource of `service` whose metrics deviate most, if any does remarkably.
    pub(super) fn resource(&self, frame: &Frame, service: &str) -> Option<Resource> {
        self.of_metrics(frame)
            .filter(|(of, _, _, deviation)| &***of == service && *deviation > REMARKABLE)
            .max_by(|a, b| a.3.total_cmp(&b.3))
            .map(|(_, _, resource, _)| resource)
    }
}

fn levels(calm: &[&Frame], read: &dyn Fn(&Frame) -> BTreeMap<Name, f64>) -> BTreeMap<Name, Level> {
    let mut columns: BTreeMap<Name, Vec<f64>> = BTreeMap::new();
    for frame in calm {
        for (service, value) in read(frame) {
            columns.entry(service).or_default().push(value);
        }
    }
    columns.into_iter().filter_map(|(s, values)| Some((s, Level::of(&values, 0.0)?))).collect()
}

fn deviations(usual: &BTreeMap<Name, Level>, now: BTreeMap<Name, f64>) -> BTreeMap<Name, f64> {
    now.into_iter()
        .filter_map(|(service, value)| {
            let deviation = usual.get(&service)?.deviation(value);
            Some((service, deviation))
        })
        .collect()
}
