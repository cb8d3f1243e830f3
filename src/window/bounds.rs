//! What the windows hold, kept within its limits, and given back when memory is short.

use super::memory::Memory;
use super::resources::Resources;
use super::skew::Skews;
use super::windower::{Windower, follow_histograms};
use crate::memory::Relief;

/// Traces that intervals may know of beyond those that are there.
const NOTED_FEW: usize = 4096;

impl Windower {
    /// After spans have come: too many, too large, names too long?
    pub(super) fn keep_to_limits(&mut self) {
        let max = self.config.spans_waiting_bytes_max;
        let mut evicted = self.keep_names_to(max / 2);
        evicted += self.traces.evict(max.saturating_sub(self.names.held_bytes()));
        self.metrics.drop_items("span", "evicted", evicted);
        self.metrics.spans_waiting.set(self.traces.waiting() as i64);
        // Intervals know traces until they close, also those that are gone, and some twice.
        if self.intervals.noted() > NOTED_FEW.max(4 * self.traces.len()) {
            self.intervals.forget(|id| self.traces.has(id));
        }
    }

    /// Names that hold ids, or the texts of queries, are as many as spans. Returns the spans dropped.
    fn keep_names_to(&mut self, bytes_max: usize) -> u64 {
        if self.names.held_bytes() <= bytes_max {
            return 0;
        }
        // Down to half, so that this is not done for every request.
        let enough = bytes_max / 2;
        let mut dropped = 0;
        self.sweep();
        while self.names.held_bytes() > enough && self.traces.waiting() > 0 {
            dropped += self.traces.relieve();
            self.sweep();
        }
        if self.names.held_bytes() > enough {
            self.forget_what_was_shown();
            self.sweep();
        }
        dropped
    }

    /// Takes names back that nobody has any more.
    pub(super) fn sweep(&mut self) {
        let known = self.memory.names().chain(self.skews.names());
        self.names.sweep(self.traces.names().chain(known));
    }

    fn forget_what_was_shown(&mut self) {
        self.memory = Memory::new(self.config.remembered_max);
        self.skews = Skews::new(self.config.remembered_max);
    }

    /// Gives memory back: at first what can be had again, then the older half of the spans that wait and what
    /// has fallen silent, in the end everything that open intervals and the places of replicas are made of.
    pub fn relieve(&mut self, relief: Relief) {
        if relief >= Relief::Open {
            self.metrics.drop_items("span", "memory", self.traces.relieve());
            let start_ms = self.intervals.horizon().map_or(i64::MIN, |h| h.0);
            self.resources.relieve(start_ms);
            self.histograms.relieve(start_ms);
        }
        if relief >= Relief::Closed {
            self.forget_what_was_shown();
            self.resources = Resources::new(&self.config);
            self.histograms = follow_histograms(&self.config);
        }
        if relief > Relief::None {
            self.resources.relieve_caches();
            self.traces.shrink();
            self.intervals.forget(|id| self.traces.has(id));
            self.sweep();
            self.show();
        }
    }

    /// Shows how much is held.
    pub(super) fn show(&self) {
        self.metrics.spans_waiting.set(self.traces.waiting() as i64);
        self.metrics.series.set(self.resources.len() as i64);
        self.metrics.histograms.set(self.histograms.len() as i64);
    }
}
