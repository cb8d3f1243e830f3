//! What a replay of updates gives, as plain numbers: the curves of Fig. 17 and the times of section 6.4.1.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::lab::plot::{Axis, Figure, Lines, Marks, Panel};

/// How a model is kept up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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

/// Accuracy of one policy at one moment after one update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The update.
    pub update: &'static str,
    /// Intervals since it.
    pub intervals: usize,
    /// How the model was kept up to date.
    pub policy: PolicyName,
    /// Violations diagnosed.
    pub cases: usize,
    /// Those of them in which the first named service was to blame.
    pub service: usize,
    /// Those in which its resource was right, too.
    pub both: usize,
}

/// One retraining.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    /// The update.
    pub update: &'static str,
    /// Intervals since it.
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

/// How long a training from scratch on all of history takes after an update, and a partial one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// The update.
    pub update: &'static str,
    /// Intervals of history, all of which a training from scratch learns from.
    pub intervals: usize,
    /// Seconds from scratch.
    pub scratch_seconds: f64,
    /// Seconds of the last partial retraining, on the same history.
    pub partial_seconds: f64,
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Letter and description of each update.
    pub updates: Vec<(&'static str, &'static str)>,
    /// Accuracy before the first update: (cases, service right, both right).
    pub before: (usize, usize, usize),
    /// Accuracy over time.
    pub points: Vec<Point>,
    /// Retrainings.
    pub trainings: Vec<Training>,
    /// Speed.
    pub speed: Vec<Speed>,
}

impl Outcome {
    /// Sums over all updates: (cases, service right, both right) of a policy, `intervals` after.
    pub fn total(&self, policy: PolicyName, intervals: usize) -> (usize, usize, usize) {
        let of = |p: &&Point| p.policy == policy && p.intervals == intervals;
        self.points
            .iter()
            .filter(of)
            .fold((0, 0, 0), |(n, s, b), p| (n + p.cases, s + p.service, b + p.both))
    }

    /// Intervals since an update at which accuracy was measured, ascending.
    pub fn moments(&self) -> Vec<usize> {
        self.points.iter().map(|p| p.intervals).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Accuracy over time, all updates together, a line for each policy.
    pub fn figure(&self) -> Figure {
        let share = |policy: PolicyName, moment: usize| {
            let (cases, service, _) = self.total(policy, moment);
            (cases > 0).then(|| (moment as f64, 100.0 * service as f64 / cases as f64))
        };
        let line = |policy: PolicyName| {
            let points = self.moments().into_iter().filter_map(|m| share(policy, m)).collect();
            (policy.to_string(), points)
        };
        let compared =
            PolicyName::ALL.iter().filter(|p| self.points.iter().any(|m| m.policy == **p));
        let panel = Panel {
            title: String::new(),
            x: Axis::new("intervals since the update"),
            y: Axis::new("right service, %").from_to(0.0, 100.0),
            marks: Marks::Lines(Lines { series: compared.map(|p| line(*p)).collect() }),
        };
        let title = "Updates of the application (paper, Fig. 17)".into();
        Figure { title, across: 1, panels: vec![panel] }
    }

    /// Mean seconds of the retrainings of a policy.
    pub fn mean_seconds(&self, policy: PolicyName) -> Option<f64> {
        let all: Vec<f64> =
            self.trainings.iter().filter(|t| t.policy == policy).map(|t| t.seconds).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    }

    /// The points as comma-separated values.
    pub fn points_csv(&self) -> String {
        let mut text = String::from("update,intervals,policy,cases,service,both\n");
        for p in &self.points {
            let Point { update, intervals, policy, cases, service, both } = p;
            text.push_str(&format!("{update},{intervals},{policy},{cases},{service},{both}\n"));
        }
        text
    }

    /// The retrainings as comma-separated values.
    pub fn trainings_csv(&self) -> String {
        let mut text = String::from("update,intervals,policy,seconds,trained,services,reason\n");
        for t in &self.trainings {
            text.push_str(&format!(
                "{},{},{},{:.3},{},{},\"{}\"\n",
                t.update,
                t.intervals,
                t.policy,
                t.seconds,
                t.services.0,
                t.services.1,
                t.reason.replace('"', "'")
            ));
        }
        text
    }
}
