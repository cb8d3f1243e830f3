//! What all studies may be told.

use serde::Serialize;

use super::surroundings::Failure;
use crate::lab::sim::{AppSpec, named_app};

/// Training steps of a quick run: enough to see that everything works, not enough to be right.
const QUICK_STEPS: [usize; 2] = [60, 20];
/// Intervals of training and test in a quick run.
const QUICK: (usize, usize) = (100, 30);

/// What all studies may be told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Applications, as [`named_app`] knows them; empty: those of the study.
    pub apps: Vec<String>,
    /// Seed of applications, load, faults and training.
    pub seed: u64,
    /// Intervals trained on; otherwise those of the study.
    pub train: Option<usize>,
    /// Intervals diagnosed; otherwise those of the study.
    pub test: Option<usize>,
    /// Whether everything is made small, to see that it works.
    pub quick: bool,
}

/// How much is simulated and learnt.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Size {
    pub(super) train: usize,
    pub(super) test: usize,
    /// Training steps other than the product's.
    pub(super) steps: Option<[usize; 2]>,
}

impl Options {
    /// The applications; the first of the `usual` ones when it must be quick.
    pub(super) fn apps(&self, usual: &[&str]) -> Result<Vec<AppSpec>, Failure> {
        let usual = if self.quick { &usual[..usual.len().min(1)] } else { usual };
        let usual: Vec<String> = usual.iter().map(|n| (*n).to_string()).collect();
        let names = if self.apps.is_empty() { &usual } else { &self.apps };
        names.iter().map(|n| named_app(n).map_err(|why| format!("{n}: {why}").into())).collect()
    }

    /// How much of everything, where a study usually takes so many intervals.
    pub(super) fn size(&self, train: usize, test: usize) -> Size {
        let usual = if self.quick { QUICK } else { (train, test) };
        Size {
            train: self.train.unwrap_or(usual.0),
            test: self.test.unwrap_or(usual.1),
            steps: self.quick.then_some(QUICK_STEPS),
        }
    }

    /// All of `usual`, or its first two when it must be quick.
    pub(super) fn some<'a, T>(&self, usual: &'a [T]) -> &'a [T] {
        if self.quick { &usual[..usual.len().min(2)] } else { usual }
    }
}
