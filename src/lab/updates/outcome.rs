//! What a replay of updates gives, as plain numbers: the curves of Fig. 17 and the times of section 6.4.1.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::shelf::{Shelf, Shelved};
use crate::lab::Score;

/// How a model is kept up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// Not at all.
    None,
    /// A new model from what arrived since the update.
    Scratch,
    /// The old parameters, all of them retrained.
    Incremental,
    /// The old parameters, and only what the update affects is retrained.
    Partial,
}

impl PolicyName {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 4] = [Self::None, Self::Scratch, Self::Incremental, Self::Partial];
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "no retraining",
            Self::Scratch => "from scratch",
            Self::Incremental => "incremental",
            Self::Partial => "partial+incremental",
        })
    }
}

/// Scores over violations by where their cause was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// At a service that the update changed or added.
    pub changed: Score,
    /// At one that calls such a service, or is called by it.
    pub near: Score,
    /// Anywhere, those two included.
    pub all: Score,
}

/// Accuracy of one policy at one moment after one update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Intervals since the update.
    pub intervals: usize,
    /// How the model was kept up to date.
    pub policy: PolicyName,
    /// How right it was.
    pub scores: Scores,
}

/// One retraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Intervals since the update.
    pub intervals: usize,
    /// How.
    pub policy: PolicyName,
    /// Seconds it took.
    pub seconds: f64,
    /// Services trained, of how many.
    pub services: (usize, usize),
    /// Why, as far as that was found out.
    pub reason: String,
    /// Why the model was not used.
    pub refused: Option<String>,
}

/// Before the first update.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Before {
    /// The model of then.
    pub first: Shelved,
    /// How right it was.
    pub scores: Scores,
    /// Seconds its training took.
    pub seconds: f64,
}

impl Before {
    /// What every policy begins with.
    pub fn shelf(&self) -> Shelf {
        Shelf::all(&self.first)
    }
}

/// A stretch without any update.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quiet {
    /// Its length in intervals.
    pub intervals: usize,
    /// What was taken for changes: interval and reason.
    pub found: Vec<(usize, String)>,
    /// Retrainings that caused.
    pub trainings: usize,
}

/// One update.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Followed {
    /// Accuracy over time.
    pub points: Vec<Point>,
    /// Retrainings.
    pub trainings: Vec<Training>,
    /// Intervals of all history at the end, and seconds a training from scratch on them took.
    pub all_of_history: (usize, f64),
    /// What the next update begins with.
    pub shelf: Shelf,
}
