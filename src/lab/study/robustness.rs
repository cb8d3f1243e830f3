//! What in practice goes wrong with telemetry, with alerts, and with models of yesterday.

use std::time::Duration;

use serde_json::{Value, json};

use super::accuracy::APPS;
use super::line::{Line, SCORES, between};
use super::options::{Options, Size};
use super::recorded::Recorded;
use super::report::Report;
use super::surroundings::{Failure, Parts, Surroundings};
use super::table::{Entry, Table};
use crate::lab::sim::AppSpec;
use crate::lab::{Drift, Outcome, Trial, Weather, examine, examine_late, learn};

/// How late an alert begins to fire, seconds.
const LATE_S: [u64; 3] = [0, 60, LATEST_S];
const LATEST_S: u64 = 300;
/// Intervals that episodes last when alerts are late: one more than the latest alert needs.
const LASTING: usize = 12;
/// Share of the samples that get lost.
const MISSING: f64 = 0.1;
/// How wrong the hosts' clocks are, milliseconds, either way.
const SKEW_MS: f64 = 50.0;
/// Load in the test, relative to that of the training.
const LOAD: f64 = 1.5;
/// Share of the requests that is traced where they are few: about a dozen an interval.
const FEW: f64 = 0.003;
/// What intervals may then grow to, seconds: not at all, or to hold a few dozen.
const GROWN_S: [u64; 2] = [0, 120];

/// One way to be disturbed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Nothing,
    /// Samples get lost.
    Missing,
    /// Clocks are wrong.
    Skew,
    /// Every service has one replica more in the test than in the training.
    Added,
    /// Every service has one replica less.
    Removed,
    /// More load in the test than ever in the training.
    Load,
    /// The alert begins to fire so many seconds after the violation began; episodes are long.
    Late(u64),
    /// A dozen requests are traced in an interval, which may grow to so many seconds; somebody who sees all of them
    /// raises the alert, as late as the latest; episodes are long.
    Few(u64),
}

const ALL: [Trouble; 11] = [
    Trouble::Nothing,
    Trouble::Missing,
    Trouble::Skew,
    Trouble::Added,
    Trouble::Removed,
    Trouble::Load,
    Trouble::Late(LATE_S[0]),
    Trouble::Late(LATE_S[1]),
    Trouble::Late(LATE_S[2]),
    Trouble::Few(GROWN_S[0]),
    Trouble::Few(GROWN_S[1]),
];

impl Trouble {
    fn name(self) -> String {
        match self {
            Self::Nothing => "undisturbed".into(),
            Self::Missing => format!("{:.0} % of samples missing", 100.0 * MISSING),
            Self::Skew => format!("clocks wrong by up to {SKEW_MS:.0} ms"),
            Self::Added => "a replica more of everything".into(),
            Self::Removed => "a replica less of everything".into(),
            Self::Load => format!("load times {LOAD}"),
            Self::Late(s) => format!("long episodes, alert {s} s late"),
            Self::Few(0) => format!("the same, {} % traced", 100.0 * FEW),
            Self::Few(s) => format!("the same, intervals of up to {s} s"),
        }
    }

    /// What its accuracy is compared with.
    fn reference(self) -> Self {
        match self {
            Self::Late(_) => Self::Late(LATE_S[0]),
            Self::Few(_) => Self::Late(LATEST_S),
            _ => Self::Nothing,
        }
    }

    /// `trial`, disturbed.
    fn disturb(self, mut trial: Trial) -> Trial {
        match self {
            Self::Nothing => {}
            Self::Missing => trial.observe.missing_metrics = MISSING,
            Self::Skew => trial.observe.clock_skew_ms_max = SKEW_MS,
            Self::Added => trial.drift.spec = Some(with_one_more(&trial.spec)),
            Self::Removed => {
                let more = with_one_more(&trial.spec);
                trial.drift.spec = Some(std::mem::replace(&mut trial.spec, more));
            }
            Self::Load => trial.drift.load = Some(LOAD),
            Self::Few(grown_s) => {
                trial = Self::Late(LATEST_S).disturb(trial);
                trial.observe.trace_ratio = FEW;
                trial.all_alerts = true;
                trial.interval_max = Duration::from_secs(grown_s);
            }
            Self::Late(_) => {
                let weather = Weather { length: (LASTING, LASTING), ..trial.weather };
                trial.drift = Drift { weather: Some(weather), ..Drift::default() };
            }
        }
        trial
    }
}

fn with_one_more(spec: &AppSpec) -> AppSpec {
    let mut spec = spec.clone();
    spec.services.iter_mut().for_each(|s| s.replicas += 1);
    spec
}

/// Measures accuracy under each trouble, and how much it is below that without.
///
/// # Errors
/// Unknown applications, failed trainings, files that cannot be written.
pub fn robustness(options: &Options, at: &Surroundings<'_>) -> Result<Report, Failure> {
    let apps = options.apps(&APPS)?;
    let size = options.size(1000, 500);
    let troubles = options.some(&ALL);
    let mut table = Table::new(&["application", "trouble"]);
    table.columns.extend(SCORES);
    table.columns.extend(["service_drop", "resource_drop"]);
    let parts = Parts::new("robustness", apps.len() * troubles.len(), at);
    for spec in &apps {
        let usual = Trial::new(spec.clone(), size.train, size.test, options.seed);
        // Alerts of any lateness are about the same episodes.
        let lasting = Trouble::Late(0).disturb(usual.clone());
        let lasting = Recorded::new(&lasting);
        let mut found: Vec<(Trouble, Line)> = Vec::new();
        for trouble in troubles {
            let params: Value = json!({ "app": spec.name, "seed": options.seed, "size": size,
                                        "trouble": trouble.name() });
            let name = format!("{} {}", spec.name, trouble.name());
            let line = parts.next(&name, &params, |progress| match trouble {
                Trouble::Late(late_s) => late(&lasting, *late_s, size, at, progress),
                Trouble::Few(_) => {
                    let trial = trouble.disturb(usual.clone());
                    late(&Recorded::new(&trial), LATEST_S, size, at, progress)
                }
                _ => troubled(&trouble.disturb(usual.clone()), size, at, progress),
            })?;
            found.push((*trouble, line));
        }
        for (trouble, line) in &found {
            let reference = found.iter().find(|(t, _)| *t == trouble.reference());
            let mut row: Vec<Entry> = vec![spec.name.as_str().into(), Entry::Text(trouble.name())];
            row.extend(line.scores());
            let drop = |part: &dyn Fn(&Line) -> usize| {
                let share = |line: &Line| line.score.share(part(line));
                let known = reference.filter(|_| line.score.cases > 0);
                Entry::maybe(known.map(|(_, r)| share(r) - share(line)), 3)
            };
            row.extend([drop(&|l| l.score.service), drop(&|l| l.score.both)]);
            table.row(row);
        }
    }
    let options = json!({ "seed": options.seed, "size": size });
    Ok(Report {
        name: "robustness",
        options,
        table,
        more: Vec::new(),
        figure: None,
        details: Vec::new(),
    })
}

fn troubled(
    trial: &Trial,
    size: Size,
    at: &Surroundings<'_>,
    progress: &dyn Fn(f64),
) -> Result<Line, Failure> {
    let record = crate::lab::record(trial, &between(progress, 0.0, 0.5))?;
    let model = learn(&record, trial.seed, size.steps, &between(progress, 0.5, 1.0))?;
    Ok(line(&examine(&record, &model, at.clock)))
}

fn late(
    lasting: &Recorded<'_>,
    late_s: u64,
    size: Size,
    at: &Surroundings<'_>,
    progress: &dyn Fn(f64),
) -> Result<Line, Failure> {
    let (record, model) = lasting.learnt(size, progress)?;
    let times = (Duration::from_secs(late_s), Duration::from_secs(LATEST_S));
    Ok(line(&examine_late(record, model, times, at.clock)))
}

fn line(outcome: &Outcome) -> Line {
    Line::plain("Sage", outcome.score, true)
}
