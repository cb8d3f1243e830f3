//! What is shown of the budget.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::limit::Budget;
use crate::observe::Registry;

/// `part` of the budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    part: &'static str,
}

/// The budget, its parts, and how much is left.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    budget: Gauge,
    soft: Gauge,
    hard: Gauge,
    parts: Family<PartLabels, Gauge>,
    /// What was resident when last looked at.
    pub(super) resident: Gauge,
    /// 0, 1 past the soft limit, 2 past the hard one.
    pub(super) level: Gauge,
    /// Times the soft limit was passed.
    pub(super) shortages: Counter,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        let r = registry.sub_registry_with_prefix("sage_memory");
        r.register("budget_bytes", "What the process may take", m.budget.clone());
        r.register("soft_limit_bytes", "From here nothing new is taken in", m.soft.clone());
        r.register("hard_limit_bytes", "From here Sage is not ready", m.hard.clone());
        r.register("share_bytes", "Parts of the budget", m.parts.clone());
        r.register("resident_bytes", "What the process takes", m.resident.clone());
        r.register(
            "level",
            "0 enough, 1 past the soft limit, 2 past the hard limit",
            m.level.clone(),
        );
        r.register("shortages", "Times the soft limit was passed", m.shortages.clone());
        m
    }

    /// Shows the budget, its limits and its parts.
    pub fn show(&self, budget: Budget, limits: &super::Limits, parts: &[(&'static str, u64)]) {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.budget.set(signed(budget.bytes));
        self.soft.set(signed(limits.soft));
        self.hard.set(signed(limits.hard));
        for (part, bytes) in parts {
            self.parts.get_or_create(&PartLabels { part }).set(signed(*bytes));
        }
    }
}
