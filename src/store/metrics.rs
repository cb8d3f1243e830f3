//! Counters of the disk.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::observe::Registry;

/// `what` was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WhatLabels {
    /// Table.
    pub what: &'static str,
}

/// Writes and failures.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Rows written.
    pub writes: Family<WhatLabels, Counter>,
    /// Writes that failed.
    pub failures: Family<WhatLabels, Counter>,
}

impl Metrics {
    /// Creates the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        for what in ["frame", "alert", "diagnosis", "annotation", "model", "fix"] {
            drop(m.writes.get_or_create(&WhatLabels { what }));
            drop(m.failures.get_or_create(&WhatLabels { what }));
        }
        let r = registry.sub_registry_with_prefix("sage_store");
        r.register("writes", "Writes to the database", m.writes.clone());
        r.register("failures", "Writes to the database that failed", m.failures.clone());
        m
    }
}
