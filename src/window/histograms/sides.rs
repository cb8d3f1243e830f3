//! What the histograms of one edge add up to, side by side.

use super::cells::{Distribution, Read};
use super::convention::{Binding, Link, Role};
use super::state::Grown;

/// One side of an edge.
#[derive(Debug, Default)]
pub(super) struct Side {
    classic: Form,
    native: Form,
}

/// The histograms of one kind.
#[derive(Debug, Default)]
struct Form {
    values: Distribution,
    total: f64,
    failed: f64,
}

impl Side {
    /// Adds what one histogram grew by, `weight` times.
    pub(super) fn add(&mut self, binding: &Binding, grown: &Grown, weight: f64) {
        let form = if binding.is_classic { &mut self.classic } else { &mut self.native };
        form.values.merge(&grown.values, binding.unit_ms, weight);
        form.total += grown.total * weight;
        if binding.is_failed {
            form.failed += grown.total * weight;
        }
    }

    /// A sender may offer the same requests in both kinds. The native one is finer.
    fn form(&self) -> &Form {
        if self.native.values.total() > 0.0 { &self.native } else { &self.classic }
    }

    pub(super) fn total(&self) -> f64 {
        self.form().total
    }

    pub(super) fn failed(&self) -> f64 {
        self.form().failed
    }

    /// Percentiles, if there is anything to tell them by.
    pub(super) fn read(&self) -> Option<Read> {
        self.form().values.read()
    }

    /// Adds all of another side's.
    pub(super) fn merge(&mut self, other: &Side) {
        for (mine, theirs) in
            [(&mut self.classic, &other.classic), (&mut self.native, &other.native)]
        {
            mine.values.merge(&theirs.values, 1.0, 1.0);
            mine.total += theirs.total;
            mine.failed += theirs.failed;
        }
    }
}

/// Both sides of an edge.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) client: Side,
    pub(super) server: Side,
    /// Failures that are counted apart from latencies.
    failed: f64,
    pub(super) link: Link,
}

impl Sides {
    pub(super) fn new(link: Link) -> Self {
        Self { client: Side::default(), server: Side::default(), failed: 0.0, link }
    }

    /// Adds what one histogram grew by, `weight` times.
    pub(super) fn add(&mut self, binding: &Binding, grown: &Grown, weight: f64) {
        match &binding.role {
            Role::Client(_) => self.client.add(binding, grown, weight),
            Role::Server(_) | Role::Served { .. } => self.server.add(binding, grown, weight),
            Role::Failed(_) => self.failed += grown.total * weight,
        }
    }

    /// The side that counts requests. The server's may be those of all callers.
    fn counting(&self) -> &Side {
        if self.client.total() > 0.0 { &self.client } else { &self.server }
    }

    /// Requests.
    pub(super) fn total(&self) -> f64 {
        self.counting().total()
    }

    /// Those of them that failed.
    pub(super) fn failed(&self) -> f64 {
        self.failed.max(self.counting().failed())
    }

    /// The side that measured something where the other one cannot: it is absent or, in service graphs,
    /// full of zeros.
    pub(super) fn larger(&self) -> Option<Read> {
        let median = |read: &Read| read.percentiles.0[0];
        let both = [self.server.read(), self.client.read()];
        both.into_iter().flatten().max_by(|a, b| median(a).total_cmp(&median(b)))
    }
}
