//! Ground truth by true counterfactuals: the same interval with the same random numbers, simulated
//! again without the fault.

use std::time::Duration;

use super::schedule::Minute;
use super::sim::{Fault, Simulator};
use crate::data::Resource;

/// What was really to blame for a violation.
#[derive(Clone, Debug, PartialEq)]
pub struct Blame {
    /// Faults that blame falls on: each alone if `alternatives`, else all together.
    pub faults: Vec<Fault>,
    /// Whether undoing any single one of them suffices.
    pub alternatives: bool,
    /// Latency without any harmful fault, milliseconds.
    pub without_ms: f64,
}

impl Blame {
    /// Whether `service` is one to blame.
    pub fn names(&self, service: usize) -> bool {
        self.faults.iter().any(|f| f.service == service)
    }

    /// Whether `resource` of `service` is.
    pub fn names_resource(&self, service: usize, resource: Option<Resource>) -> bool {
        self.faults.iter().any(|f| f.service == service && f.kind.resource() == resource)
    }

    /// Whether exactly those to blame are among `services`: all of them, or, when any single one
    /// suffices, some of them and nobody else.
    pub fn is_exactly(&self, services: &[usize]) -> bool {
        let nobody_else = services.iter().all(|s| self.names(*s));
        let all = self.faults.iter().all(|f| services.contains(&f.service));
        nobody_else && !services.is_empty() && (all || self.alternatives)
    }
}

/// Simulates `minute` and, when it misses `target_ms`, finds out who was to blame. `None` when the
/// target was met, or when it would have been missed without any fault (a queue still draining).
pub fn judge(
    before: &Simulator,
    minute: &Minute,
    interval: Duration,
    quantile: f64,
    target_ms: f64,
    observed_ms: f64,
) -> Option<Blame> {
    if observed_ms <= target_ms {
        return None;
    }
    let latency = |faults: &[Fault]| {
        let truth = before.clone().run(interval, minute.load, faults).truth;
        truth.quantile_ms(quantile).unwrap_or(0.0)
    };
    let (harmless, harmful): (Vec<Fault>, Vec<Fault>) =
        minute.faults.iter().partition(|f| f.kind.is_bystander());
    let without_ms = latency(&harmless);
    if without_ms > target_ms || harmful.is_empty() {
        return None;
    }
    let without = |fault: &Fault| -> Vec<Fault> {
        minute.faults.iter().copied().filter(|f| f != fault).collect()
    };
    let alone: Vec<Fault> =
        harmful.iter().copied().filter(|f| latency(&without(f)) <= target_ms).collect();
    if !alone.is_empty() {
        return Some(Blame { faults: alone, alternatives: true, without_ms });
    }
    // No single one suffices: those count that violate the target by themselves.
    let with_only =
        |fault: &Fault| -> Vec<Fault> { harmless.iter().copied().chain([*fault]).collect() };
    let needed: Vec<Fault> =
        harmful.iter().copied().filter(|f| latency(&with_only(f)) > target_ms).collect();
    let faults = if needed.is_empty() { harmful } else { needed };
    Some(Blame { faults, alternatives: false, without_ms })
}
