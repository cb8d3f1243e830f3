//! Microscope (ICSOC 2018): a causal graph of the services' latencies by a parallel PC algorithm, and
//! a walk from the front end along anomalous neighbours.
//!
//! A service is anomalous when its latency is beyond three sigma of what is usual. Where the walk
//! finds no further anomalous neighbour, it has found a candidate. Candidates are ranked by the
//! correlation of their latency with the front end's.
//!
//! In its favour: sigma is taken from intervals that met QoS only, latencies are logarithms, which
//! are closer to the normal distribution that the test of independence assumes, and an edge without
//! direction may be walked either way. Microscope names no resources; the one whose metrics deviate
//! most is named for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::pc::{Gaussian, Graph, Order, Search, correlation, learn};
use super::rival::{Accused, Past, Rival};
use super::series::Series;
use super::usual::{REMARKABLE, Usual};
use super::view::latencies;
use crate::data::{Frame, Name};

/// Largest condition: PC's cost is exponential in it.
const CONDITION_MAX: usize = 3;
/// Significance of the tests.
const ALPHA: f64 = 0.05;
/// Edges tested at the same time.
const WORKERS: usize = 4;
/// Intervals over which latencies are correlated: ten minutes of 30 s.
const CORRELATED: usize = 20;

/// What Microscope has learnt.
#[derive(Debug)]
pub(super) struct Microscope {
    entry: Name,
    services: Vec<Name>,
    graph: Graph,
    usual: Usual,
    quantile: f64,
}

impl Microscope {
    /// Learns the graph.
    pub(super) fn learn(past: &Past<'_>) -> Self {
        let usual = Usual::learn(&past.calm(), past.target.quantile);
        let frames: Vec<&Frame> = past.frames.iter().map(|f| &**f).collect();
        let series = Series::of(&frames, &usual);
        let columns: Vec<&[f64]> = series.latencies.values().map(Vec::as_slice).collect();
        let entry: Name = past.target.service.as_str().into();
        let services: Vec<Name> = series.latencies.keys().cloned().collect();
        let sinks = services.iter().position(|s| *s == entry).into_iter().collect();
        let order = Order::Together { workers: WORKERS };
        let search = Search { condition_max: CONDITION_MAX, order, sinks };
        let graph = learn(&Gaussian::new(&columns, ALPHA), &search);
        Self { entry, services, graph, usual, quantile: past.target.quantile }
    }

    /// Services at which the walk ends.
    fn candidates(&self, anomalous: &BTreeSet<usize>) -> BTreeSet<usize> {
        let Some(start) = self.services.iter().position(|s| *s == self.entry) else {
            return BTreeSet::new();
        };
        let (mut ends, mut seen) = (BTreeSet::new(), BTreeSet::from([start]));
        let mut open = vec![start];
        while let Some(service) = open.pop() {
            let further: Vec<usize> =
                self.graph.causes(service).into_iter().filter(|c| anomalous.contains(c)).collect();
            let new: Vec<usize> = further.into_iter().filter(|c| seen.insert(*c)).collect();
            if new.is_empty() {
                ends.insert(service);
            }
            open.extend(new);
        }
        ends
    }
}

impl Rival for Microscope {
    fn name(&self) -> &'static str {
        "Microscope"
    }

    fn accuse(&self, frames: &[Arc<Frame>]) -> Accused {
        let recent = &frames[frames.len().saturating_sub(CORRELATED)..];
        let Some(now) = recent.last() else { return Vec::new() };
        let deviations = self.usual.of_latencies(now);
        let is_anomalous = |s: &Name| deviations.get(s).is_some_and(|d| *d > REMARKABLE);
        let anomalous =
            (0..self.services.len()).filter(|s| is_anomalous(&self.services[*s])).collect();
        let rows: Vec<BTreeMap<Name, f64>> =
            recent.iter().map(|f| latencies(f, self.quantile)).collect();
        let with_entry = |service: &Name| {
            let both =
                |row: &BTreeMap<Name, f64>| Some((*row.get(service)?, *row.get(&self.entry)?));
            let (own, entry): (Vec<f64>, Vec<f64>) = rows.iter().filter_map(both).unzip();
            correlation(&own, &entry)
        };
        let mut ranked: Vec<(&Name, f64)> = self
            .candidates(&anomalous)
            .into_iter()
            .map(|s| (&self.services[s], with_entry(&self.services[s])))
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.into_iter().map(|(s, _)| (s.to_string(), self.usual.resource(now, s))).collect()
    }
}
