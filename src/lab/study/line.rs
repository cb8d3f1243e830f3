//! How one system did on one record: a line of most tables.

use serde::{Deserialize, Serialize};

use super::options::Size;
use super::surroundings::{Failure, Surroundings};
use super::table::Entry;
use crate::graph::Mechanism as _;
use crate::lab::{Outcome, Record, Score, Standing, examine, learn};
use crate::model::Model;

/// Heads of [`Line::scores`].
pub(super) const SCORES: [&str; 7] =
    ["cases", "service", "resource", "exact", "fp", "fn", "silent"];

/// How one system did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) system: String,
    pub(super) score: Score,
    /// Whether it has an opinion about resources.
    pub(super) names_resources: bool,
    pub(super) r2: Option<f64>,
    pub(super) rmse_ms: Option<f64>,
    pub(super) train_s: Option<f64>,
    pub(super) diagnose_ms: Option<f64>,
}

/// Sage on a record.
pub(super) struct Sage {
    pub(super) line: Line,
    pub(super) model: Model,
    pub(super) outcome: Outcome,
}

/// Trains Sage on `record` and examines it by `exam`.
pub(super) fn sage(
    record: &Record,
    size: Size,
    seed: u64,
    at: &Surroundings<'_>,
    progress: &dyn Fn(f64),
) -> Result<Sage, Failure> {
    let begun = (at.clock)();
    let model = learn(record, seed, size.steps, &|share| progress(0.8 * share))?;
    let train_s = (at.clock)() - begun;
    let outcome = examine(record, &model, at.clock);
    let line = Line {
        system: "Sage".into(),
        score: outcome.score,
        names_resources: true,
        r2: Some(model.quality().r2),
        rmse_ms: Some(model.quality().rmse_ms),
        train_s: Some(train_s),
        diagnose_ms: Some(outcome.diagnose_ms),
    };
    Ok(Sage { line, model, outcome })
}

impl Line {
    /// A system that is measured by its answers alone.
    pub(super) fn plain(system: &str, score: Score, names_resources: bool) -> Self {
        let system = system.into();
        Self {
            system,
            score,
            names_resources,
            r2: None,
            rmse_ms: None,
            train_s: None,
            diagnose_ms: None,
        }
    }

    /// Cases and shares of them.
    pub(super) fn scores(&self) -> Vec<Entry> {
        let s = &self.score;
        // Without cases there is no share of them.
        let share = |part: usize| Entry::maybe((s.cases > 0).then(|| s.share(part)), 3);
        let both = if self.names_resources { share(s.both) } else { Entry::Nothing };
        vec![
            s.cases.into(),
            share(s.service),
            both,
            share(s.exact),
            share(s.false_positive),
            share(s.false_negative),
            share(s.silent),
        ]
    }

    /// Share of the cases in which the first service named was right.
    pub(super) fn accuracy(&self) -> Option<f64> {
        (self.score.cases > 0).then(|| self.score.share(self.score.service))
    }
}

impl From<Standing> for Line {
    fn from(s: Standing) -> Self {
        let diagnose_ms = Some(s.diagnose_ms);
        Self { diagnose_ms, ..Self::plain(&s.name, s.score, s.names_resources) }
    }
}

/// The share of `progress` between `from` and `to`.
pub(super) fn between(progress: &dyn Fn(f64), from: f64, to: f64) -> impl Fn(f64) {
    move |share| progress(from + (to - from) * share)
}
