//! `[memory]`: what the whole process may take.

use serde::{Deserialize, Serialize};

/// Less is not enough for anything.
pub const BUDGET_MIN: u64 = 128 << 20;

/// The budget and its two limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes; 0 takes the limit of the cgroup, or, without one, half of the host's memory.
    pub budget_bytes: u64,
    /// Share of the budget from which senders are told to come again.
    pub soft_ratio: f64,
    /// Share of the budget from which Sage says that it is not ready.
    pub hard_ratio: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { budget_bytes: 0, soft_ratio: 0.8, hard_ratio: 0.95 }
    }
}

impl Config {
    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        let Self { budget_bytes, soft_ratio, hard_ratio } = *self;
        if budget_bytes != 0 && budget_bytes < BUDGET_MIN {
            faults.push(format!(
                "memory.budget_bytes = {budget_bytes}: must be at least {BUDGET_MIN}, or 0 for the limit \
                 of the cgroup (default 0)"
            ));
        }
        if !(soft_ratio >= 0.5 && soft_ratio < hard_ratio && hard_ratio <= 1.0) {
            faults.push(format!(
                "memory: soft_ratio = {soft_ratio} and hard_ratio = {hard_ratio}: must be at least 0.5, at \
                 most 1, and ascending (default 0.8 and 0.95)"
            ));
        }
    }
}
