//! CauseInfer (INFOCOM 2014): a causality graph of two levels, and a walk down both.
//!
//! The upper level says which services' latencies depend on each other, the lower one, for every
//! service, which of its metrics and of its callees' latencies its own latency depends on. Both come
//! from the PC algorithm over binary series, "changed" or not, with conditional cross entropy as the
//! test. The walk begins at the front end's latency and follows causes that have changed; one without
//! a changed cause is a root cause. Several are ranked by how far they are from their recent mean.
//!
//! In its favour: the changes that it learns from are measured against intervals that met QoS, an
//! edge without direction may be walked either way, and metrics of load, which cannot be at fault,
//! are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cusum::changes;
use super::pc::{Binary, Graph, Order, Search, learn};
use super::rival::{Accused, Past, Rival};
use super::series::Series;
use super::usual::Usual;
use crate::data::{Frame, Name, Resource};

/// Largest condition. PC's cost is exponential in it; and changes are rare, so that under larger ones
/// too few are left to be seen, and most metrics lose their edges.
const CONDITION_MAX: usize = 1;
/// Significance of the tests.
const ALPHA: f64 = 0.05;
/// Intervals before the violation that a violation is compared with.
const RECENT: usize = 60;

/// What CauseInfer has learnt.
#[derive(Debug)]
pub(super) struct CauseInfer {
    entry: Name,
    /// The lower level, by service.
    services: BTreeMap<Name, Local>,
    usual: Usual,
}

/// The metric causality graph of a service.
#[derive(Debug)]
struct Local {
    /// The service's own latency first.
    variables: Vec<Variable>,
    graph: Graph,
}

/// What a variable of a metric causality graph stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Variable {
    Latency(Name),
    Metric(Name),
}

impl CauseInfer {
    /// Learns both levels.
    pub(super) fn learn(past: &Past<'_>) -> Self {
        let usual = Usual::learn(&past.calm(), past.target.quantile);
        let frames: Vec<&Frame> = past.frames.iter().map(|f| &**f).collect();
        let series = Series::of(&frames, &usual);
        let entry: Name = past.target.service.as_str().into();
        let names: Vec<&Name> = series.latencies.keys().collect();
        let changed: Vec<Vec<bool>> = series.latencies.values().map(|c| changes(c)).collect();
        let sinks = names.iter().position(|n| **n == entry).into_iter().collect();
        let upper = learn(&Binary::new(&changed, ALPHA), &search(sinks));
        let local = |service: usize| {
            let depends_on = upper.causes(service).into_iter().map(|c| (names[c], &changed[c]));
            Local::learn((names[service], &changed[service]), depends_on, &series)
        };
        let services = (0..names.len()).map(|s| (names[s].clone(), local(s))).collect();
        Self { entry, services, usual }
    }

    /// Changed variables without a changed cause, found from the entry: (service, variable).
    fn walk(&self, now: &Now) -> BTreeSet<(Name, Variable)> {
        let start = (self.entry.clone(), Variable::Latency(self.entry.clone()));
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::from([start.clone()]));
        let mut open = vec![start];
        while let Some((service, variable)) = open.pop() {
            let causes: Vec<(Name, Variable)> = self
                .causes(&service, &variable)
                .into_iter()
                .filter(|(of, cause)| now.is_changed(of, cause))
                .collect();
            let new: Vec<_> = causes.into_iter().filter(|c| seen.insert(c.clone())).collect();
            if new.is_empty() {
                found.insert((service, variable));
            }
            open.extend(new);
        }
        found
    }

    /// Causes of a variable: another service's latency is followed into that service.
    fn causes(&self, service: &Name, variable: &Variable) -> Vec<(Name, Variable)> {
        let Some(local) = self.services.get(service) else { return Vec::new() };
        let Some(at) = local.variables.iter().position(|v| v == variable) else {
            return Vec::new();
        };
        let place = |cause: usize| match &local.variables[cause] {
            Variable::Latency(of) => (of.clone(), Variable::Latency(of.clone())),
            metric @ Variable::Metric(_) => (service.clone(), metric.clone()),
        };
        local.graph.causes(at).into_iter().map(place).collect()
    }
}

fn search(sinks: Vec<usize>) -> Search {
    Search { condition_max: CONDITION_MAX, order: Order::OneByOne, sinks }
}

impl Local {
    /// Learns the graph of a service from its metrics and its callees' latencies. That its latency is
    /// an effect only is known beforehand.
    fn learn<'a>(
        (service, latency): (&Name, &Vec<bool>),
        depends_on: impl Iterator<Item = (&'a Name, &'a Vec<bool>)>,
        series: &Series,
    ) -> Self {
        let mut variables = vec![Variable::Latency(service.clone())];
        let mut columns = vec![latency.clone()];
        for (callee, latency) in depends_on {
            variables.push(Variable::Latency(callee.clone()));
            columns.push(latency.clone());
        }
        for (name, (_, deviations)) in series.metrics.get(service).into_iter().flatten() {
            variables.push(Variable::Metric(name.clone()));
            columns.push(changes(deviations));
        }
        Self { variables, graph: learn(&Binary::new(&columns, ALPHA), &search(vec![0])) }
    }
}

/// The violation and the time before it.
struct Now {
    series: Series,
}

impl Now {
    fn column(&self, service: &Name, variable: &Variable) -> Option<(Option<Resource>, &[f64])> {
        match variable {
            Variable::Latency(of) => Some((None, self.series.latencies.get(of)?)),
            Variable::Metric(name) => {
                let (resource, column) = self.series.metrics.get(service)?.get(name)?;
                Some((Some(*resource), column))
            }
        }
    }

    /// Whether a change is found in the violating interval.
    fn is_changed(&self, service: &Name, variable: &Variable) -> bool {
        let column = self.column(service, variable);
        column.is_some_and(|(_, c)| changes(c).last() == Some(&true))
    }

    /// Resource of a variable, and how many standard deviations it is above its recent mean.
    fn violation(&self, service: &Name, variable: &Variable) -> (Option<Resource>, f64) {
        /// Keeps a series that stood still from being infinitely strange when it moves.
        const EPSILON: f64 = 0.001;
        let Some((resource, column)) = self.column(service, variable) else { return (None, 0.0) };
        let Some((now, before)) = column.split_last() else { return (resource, 0.0) };
        let count = before.len().max(1) as f64;
        let mean = before.iter().sum::<f64>() / count;
        let variance = before.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        (resource, (now - mean) / (variance.sqrt() + EPSILON))
    }
}

impl Rival for CauseInfer {
    fn name(&self) -> &'static str {
        "CauseInfer"
    }

    fn accuse(&self, frames: &[Arc<Frame>]) -> Accused {
        let recent: Vec<&Frame> =
            frames[frames.len().saturating_sub(RECENT + 1)..].iter().map(|f| &**f).collect();
        let now = Now { series: Series::of(&recent, &self.usual) };
        let mut ranked: Vec<((String, Option<Resource>), f64)> = self
            .walk(&now)
            .into_iter()
            .map(|(service, variable)| {
                let (resource, violation) = now.violation(&service, &variable);
                ((service.to_string(), resource), violation)
            })
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut accused = Accused::new();
        for (cause, _) in ranked {
            if !accused.contains(&cause) {
                accused.push(cause);
            }
        }
        accused
    }
}
