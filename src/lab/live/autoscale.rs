//! Autoscale Strict (paper 6.1.2): whoever uses more than half of what it is allotted gets more.
//!
//! It acts through the same helper as Sage, and as far: the difference is whom it picks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::exporter::quota_us;
use super::faults::used;
use super::groups::{Groups, PERIOD_US};
use super::helper::Helper;
use crate::data::{Fix, FixId, Knob, Target, Value};
use crate::wire::{Answer, Request, Which};

/// Use, as a share of the quota, above which a service is scaled.
const STRICT: f64 = 0.5;
/// By how much.
const FACTOR: f64 = 4.0;
/// Outlives any fault.
const LEASE: Duration = Duration::from_secs(300);

/// The autoscaler.
#[derive(Debug)]
pub(super) struct Autoscale {
    helper: Helper,
    /// Processor time used so far, by service, when it was last looked at.
    seen: BTreeMap<String, f64>,
    seen_ms: i64,
    /// Services that were given more, and when.
    pub(super) scaled: Vec<(String, i64)>,
}

impl Autoscale {
    /// One that has seen nothing yet.
    pub(super) fn new(helper: Helper) -> Self {
        Self { helper, seen: BTreeMap::new(), seen_ms: 0, scaled: Vec::new() }
    }

    /// Looks at every service, and scales those that use too much of their quota. Each is scaled once a fault:
    /// the helper keeps one fix of a knob at a time.
    pub(super) fn look(&mut self, groups: &Groups, services: &[String], now_ms: i64) {
        let elapsed_s = (now_ms - self.seen_ms) as f64 / 1e3;
        for service in services {
            let used = used(groups, None, service).cpu;
            let before = self.seen.insert(service.clone(), used);
            let (Some(before), Some(quota_us)) = (before, quota_us(groups, service)) else {
                continue;
            };
            let share = (used - before) / elapsed_s / (quota_us / PERIOD_US as f64);
            let is_scaled = self.scaled.iter().any(|(s, _)| s == service);
            if share > STRICT && !is_scaled && self.scale(service, quota_us, now_ms).is_some() {
                self.scaled.push((service.clone(), now_ms));
            }
        }
        self.seen_ms = now_ms;
    }

    fn scale(&self, service: &str, quota_us: f64, now_ms: i64) -> Option<()> {
        let cores = quota_us / PERIOD_US as f64 * FACTOR;
        let fix = Fix {
            id: FixId::new(format!("strict-{service}-{now_ms}")).ok()?,
            target: Target::Cgroup(Groups::path(service)),
            knob: Knob::CpuQuota,
            device: None,
            value: Value::Amount((cores * 100.0).round() / 100.0),
            lease: LEASE,
            note: "above half of its quota".into(),
        };
        matches!(self.helper.ask(&Request::Apply(fix)), Ok(Answer::Lease(_))).then_some(())
    }

    /// Takes everything back.
    ///
    /// # Errors
    /// When the helper does not answer.
    pub(super) fn end(&mut self) -> std::io::Result<()> {
        self.scaled.clear();
        self.seen.clear();
        self.helper.ask(&Request::Revert(Which::All)).map(drop)
    }
}
