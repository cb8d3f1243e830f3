//! How many requests each span of a trace stands for.
//!
//! Samplers decide at the root, and not all of them tell those below: the SDK for Python writes the
//! threshold into the root span only. A span that says nothing is as frequent as what it was called by.

use super::relations::Relations;
use super::traces::{Trace, Waiting};

/// Spans between one that says nothing and one that does, at most.
const DEPTH_MAX: usize = 64;

/// What the spans of a trace say about how it was sampled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sampling {
    /// The least that one of them stands for; `None` when none says anything.
    least: Option<f32>,
}

impl Sampling {
    pub(super) fn of(trace: &Trace) -> Self {
        let said = trace.spans.iter().map(|s| s.weight).filter(|w| *w > 0.0);
        Self { least: said.reduce(f32::min) }
    }

    /// Requests that one of the spans stands for, at least 1.
    pub(super) fn weight(self, trace: &Trace, relations: &Relations, span: &Waiting) -> f32 {
        let Some(least) = self.least else { return 1.0 };
        let mut at = span;
        // Bounded: a forged trace may hold a cycle of parents.
        for _ in 0..DEPTH_MAX {
            if at.weight > 0.0 {
                return at.weight;
            }
            match relations.above(at) {
                Some(above) => at = &trace.spans[above],
                // What has begun the trace was there before anybody below it was asked.
                None if at.parent == 0 => return 1.0,
                None => break,
            }
        }
        least
    }
}
