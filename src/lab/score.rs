//! How often a diagnosis is right, and in which way it is wrong.

use serde::{Deserialize, Serialize};

use super::truth::Blame;
use crate::data::Resource;

/// What was named: (service, resource), most effective first.
pub type Named = Vec<(usize, Option<Resource>)>;

/// Counts over many violations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Violations.
    pub cases: usize,
    /// First named service is to blame.
    pub service: usize,
    /// First named service and resource are to blame.
    pub both: usize,
    /// Exactly those to blame are named.
    pub exact: usize,
    /// Somebody innocent is named.
    pub false_positive: usize,
    /// Somebody to blame is not named.
    pub false_negative: usize,
    /// Nobody is named.
    pub silent: usize,
}

impl Score {
    /// Adds one violation.
    pub fn add(&mut self, blame: &Blame, named: &Named) {
        let services: Vec<usize> = named.iter().map(|(s, _)| *s).collect();
        let missed = blame.faults.iter().filter(|f| !services.contains(&f.service)).count();
        let is_missed = if blame.alternatives { missed == blame.faults.len() } else { missed > 0 };
        self.cases += 1;
        self.service += usize::from(named.first().is_some_and(|(s, _)| blame.names(*s)));
        self.both += usize::from(named.first().is_some_and(|(s, r)| blame.names_resource(*s, *r)));
        self.exact += usize::from(blame.is_exactly(&services));
        self.false_positive += usize::from(services.iter().any(|s| !blame.names(*s)));
        self.false_negative += usize::from(is_missed);
        self.silent += usize::from(named.is_empty());
    }

    /// `part` of the cases.
    pub fn share(&self, part: usize) -> f64 {
        part as f64 / self.cases.max(1) as f64
    }
}
