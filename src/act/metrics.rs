//! Counters of fixes.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::config::Config;
use crate::data::{ActionKind, FixRecord, FixState};
use crate::observe::Registry;
use crate::wire::Code;

/// `state` of fixes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// As in the API.
    pub state: &'static str,
}

/// `kind` of actions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// As in the configuration.
    pub kind: &'static str,
}

/// `kind` of actions and how they ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndLabels {
    /// As in the configuration.
    pub kind: &'static str,
    /// As in the API: `done`, `reverted`, `failed`.
    pub state: &'static str,
}

/// `reason` of refusals.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// The helper's code, or `unreachable`, `command`, `outside`.
    pub reason: &'static str,
}

/// `node` of a helper.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NodeLabels {
    /// As configured.
    pub node: String,
}

/// What became of fixes.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Fixes kept, by state.
    pub fixes: Family<StateLabels, Gauge>,
    /// Fixes in flight, by the kind of their rung.
    pub in_flight: Family<KindLabels, Gauge>,
    /// When the fix in flight for the longest time was planned; zero without one.
    pub oldest: Gauge,
    /// Rungs that came into force.
    pub applied: Family<KindLabels, Counter>,
    /// Fixes that ended after something had been changed.
    pub ended: Family<EndLabels, Counter>,
    /// Refusals.
    pub refused: Family<ReasonLabels, Counter>,
    /// Whether a helper answered the last time it was asked.
    pub helper_up: Family<NodeLabels, Gauge>,
    /// Renewals that failed.
    pub renew_failures: Counter,
    /// Attempts at putting old values back that failed.
    pub revert_failures: Counter,
    /// Fixes that could not be written to the journal.
    pub journal_failures: Counter,
    /// Plans that were not made because too many were under way.
    pub plans_dropped: Counter,
}

/// Reasons that are no code of the helper.
pub(super) const UNREACHABLE: &str = "unreachable";
pub(super) const COMMAND: &str = "command";
pub(super) const OUTSIDE: &str = "outside";

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry, config: &Config) -> Self {
        let m = Self::default();
        for state in FixState::ALL.map(FixState::name) {
            drop(m.fixes.get_or_create(&StateLabels { state }));
        }
        for kind in ActionKind::ALL.map(ActionKind::name) {
            drop(m.in_flight.get_or_create(&KindLabels { kind }));
            drop(m.applied.get_or_create(&KindLabels { kind }));
            for state in [FixState::Done, FixState::Reverted, FixState::Failed] {
                drop(m.ended.get_or_create(&EndLabels { kind, state: state.name() }));
            }
        }
        let codes = Code::ALL.iter().map(|code| code.name());
        for reason in codes.chain([UNREACHABLE, COMMAND, OUTSIDE]) {
            drop(m.refused.get_or_create(&ReasonLabels { reason }));
        }
        for helper in &config.helpers {
            drop(m.helper_up.get_or_create(&NodeLabels { node: helper.node.clone() }));
        }
        let r = registry.sub_registry_with_prefix("sage_act");
        r.register("fixes", "Fixes kept, by state", m.fixes.clone());
        r.register("in_flight", "Fixes in flight, by kind of action", m.in_flight.clone());
        r.register(
            "oldest_timestamp_seconds",
            "When the oldest fix in flight was planned; zero without one",
            m.oldest.clone(),
        );
        r.register("applied", "Actions that came into force", m.applied.clone());
        r.register("ended", "Fixes that ended after a change", m.ended.clone());
        r.register("refused", "Actions that were refused", m.refused.clone());
        r.register("helper_up", "Whether the helper answers", m.helper_up.clone());
        r.register("renew_failures", "Leases that could not be renewed", m.renew_failures.clone());
        r.register(
            "revert_failures",
            "Attempts at putting old values back that failed",
            m.revert_failures.clone(),
        );
        r.register("journal_failures", "Fixes that are not on disk", m.journal_failures.clone());
        r.register("plans_dropped", "Plans that were not made", m.plans_dropped.clone());
        m
    }

    /// Takes in that `new` has come after `old`.
    pub(super) fn moved(&self, old: Option<FixState>, new: &FixRecord) {
        if old == Some(new.state) {
            return;
        }
        let kind = new.current().map_or(ActionKind::ScaleOut, |r| r.kind).name();
        match new.state {
            FixState::Watching => drop(self.applied.get_or_create(&KindLabels { kind }).inc()),
            FixState::Done | FixState::Reverted | FixState::Failed if new.was_applied => {
                let labels = EndLabels { kind, state: new.state.name() };
                self.ended.get_or_create(&labels).inc();
            }
            _ => {}
        }
    }

    /// Takes in all fixes as they stand.
    pub(super) fn stand(&self, fixes: &[FixRecord]) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        for state in FixState::ALL {
            let n = fixes.iter().filter(|f| f.state == state).count();
            self.fixes.get_or_create(&StateLabels { state: state.name() }).set(count(n));
        }
        let in_flight = || fixes.iter().filter(|f| f.state.is_in_flight());
        for kind in ActionKind::ALL {
            let n = in_flight().filter(|f| f.current().is_some_and(|r| r.kind == kind)).count();
            self.in_flight.get_or_create(&KindLabels { kind: kind.name() }).set(count(n));
        }
        let oldest = in_flight().map(|f| f.created_at.0 / 1000).min();
        self.oldest.set(oldest.unwrap_or(0));
    }
}
