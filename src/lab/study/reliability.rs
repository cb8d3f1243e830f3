//! Are the probabilities of a diagnosis what they say? Of all services said to keep the target with
//! probability p, had they been normal, a share of p should have.
//!
//! The truth is the simulator's: undoing what was wrong with that one service, and nothing else, keeps
//! the target or does not.

use serde::{Deserialize, Serialize};

use super::table::{Entry, Table};
use crate::lab::Case;
use crate::lab::sim::AppSpec;

/// Where bins of probability end.
const ENDS: [f64; 7] = [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0];

/// Services by the probability they were given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Reliability {
    bins: [Bin; ENDS.len()],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bin {
    services: usize,
    /// Sum of the probabilities.
    said: f64,
    /// Services that would have kept the target.
    kept: usize,
}

impl Reliability {
    /// Adds every service of a diagnosis.
    pub(super) fn add(&mut self, spec: &AppSpec, case: &Case) {
        let blame = &case.violation.blame;
        for score in &case.verdict.services {
            let is_kept = blame.alternatives
                && blame.faults.iter().any(|f| spec.services[f.service].name == score.service);
            self.count(score.probability, is_kept);
        }
    }

    fn count(&mut self, probability: f64, is_kept: bool) {
        let place = ENDS.iter().position(|end| probability <= *end).unwrap_or(ENDS.len() - 1);
        let bin = &mut self.bins[place];
        bin.services += 1;
        bin.said += probability;
        bin.kept += usize::from(is_kept);
    }

    /// Adds those of another application.
    pub(super) fn merge(&mut self, other: &Self) {
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            bin.services += more.services;
            bin.said += more.said;
            bin.kept += more.kept;
        }
    }

    /// One row per bin.
    pub(super) fn table(&self) -> Table {
        let columns = ["probability", "services", "said", "kept_the_target"];
        let mut table = Table::new(&columns);
        let mut from = 0.0;
        for (bin, end) in self.bins.iter().zip(ENDS) {
            let share = |part: f64| (bin.services > 0).then(|| part / bin.services as f64);
            table.row(vec![
                Entry::from(format!("{from} to {end}").as_str()),
                bin.services.into(),
                Entry::maybe(share(bin.said), 3),
                Entry::maybe(share(bin.kept as f64), 3),
            ]);
            from = end;
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_tells_what_was_said_and_what_was_so() {
        let mut all = Reliability::default();
        for n in 0..10 {
            all.count(0.8, n < 7);
        }
        let mut other = Reliability::default();
        other.count(1.0, true);
        other.count(0.0, false);
        all.merge(&other);
        let text = all.table().to_text();
        let row = |start: &str| text.lines().find(|l| l.starts_with(start)).unwrap().to_string();
        assert!(row("0.7 to 0.9").ends_with("10  0.800            0.700"), "{text}");
        assert!(row("0.9 to 1").contains("1.000"), "{text}");
        assert!(row("0.3 to 0.5").ends_with('-'), "{text}");
    }
}
