//! Fig. 12: accuracy, false negatives and false positives, application by application, of Sage and
//! of the systems it is compared with.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::line::{Line, SCORES, Sage, between, sage};
use super::options::{Options, Size};
use super::reliability::Reliability;
use super::report::Report;
use super::surroundings::{Failure, Parts, Surroundings};
use super::table::{Entry, Table};
use super::told::told;
use crate::lab::plot::{Axis, Bars, Figure, Marks, Panel};
use crate::lab::sim::AppSpec;
use crate::lab::wire::Buckets;
use crate::lab::{Trial, contest, record};

/// The applications of the paper's section 5.1.
pub(super) const APPS: [&str; 5] =
    ["chain", "fanout", "social-network", "media-service", "hotel-reservation"];

/// How accuracy is measured.
#[derive(Clone, Debug)]
pub struct Accuracy {
    /// What all studies may be told. 1000 intervals are trained on and 500 tested by default.
    pub options: Options,
    /// Without metrics of shortage.
    pub usage_only: bool,
    /// Share of the requests that is traced; a tenth when not said.
    pub traced: Option<f64>,
    /// Length of an interval; the product's own when not said.
    pub interval: Option<Duration>,
    /// Target and alerts come from somebody who sees every request.
    pub all_alerts: bool,
    /// Share of the intervals to learn from in which trouble begins, if not as many as are diagnosed.
    pub train_faults: Option<f64>,
    /// Service graphs with these buckets instead of spans.
    pub histograms: Option<Buckets>,
    /// Whether the compared systems take part.
    pub compare: bool,
}

/// What is kept of one application.
#[derive(Serialize, Deserialize)]
struct Part {
    lines: Vec<Line>,
    details: Vec<String>,
    reliability: Reliability,
}

/// Measures it.
///
/// # Errors
/// Unknown applications, failed trainings, files that cannot be written.
pub fn accuracy(what: &Accuracy, at: &Surroundings<'_>) -> Result<Report, Failure> {
    let apps = what.options.apps(&APPS)?;
    let size = what.options.size(1000, 500);
    let mut table = Table::new(&[]);
    table.columns.extend(["application", "system"]);
    table.columns.extend(SCORES);
    table.columns.extend(["r2", "rmse_ms", "train_s", "diagnose_ms"]);
    let (mut details, mut all) = (Vec::new(), Vec::new());
    let mut reliability = Reliability::default();
    let parts = Parts::new("accuracy", apps.len(), at);
    let params = |app: &str| {
        let (usage_only, compare) = (what.usage_only, what.compare);
        let seed = what.options.seed;
        let mut params = json!({ "app": app, "seed": seed, "size": size, "usage_only": usage_only,
                                 "compare": compare });
        if let Some(buckets) = what.histograms {
            params["histograms"] = json!(buckets);
        }
        if let Some(traced) = what.traced {
            params["traced"] = json!(traced);
        }
        if let Some(interval) = what.interval {
            params["interval_s"] = json!(interval.as_secs());
        }
        if what.all_alerts {
            params["all_alerts"] = json!(true);
        }
        if let Some(share) = what.train_faults {
            params["train_faults"] = json!(share);
        }
        params
    };
    for spec in &apps {
        let part: Part = parts.next(&spec.name, &params(&spec.name), |progress| {
            one(spec, what, size, at, progress)
        })?;
        for line in &part.lines {
            let mut row: Vec<Entry> = vec![spec.name.as_str().into(), line.system.as_str().into()];
            row.extend(line.scores());
            row.push(Entry::maybe(line.r2, 3));
            row.push(Entry::maybe(line.rmse_ms, 1));
            row.push(Entry::maybe(line.train_s, 1));
            row.push(Entry::maybe(line.diagnose_ms, 1));
            table.row(row);
        }
        details.extend(part.details);
        reliability.merge(&part.reliability);
        all.push((spec.name.clone(), part.lines));
    }
    let options = params(&apps.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(","));
    let figure = Some(figure(&all));
    let more = vec![(
        "Had this service been normal: probability that the target is kept",
        reliability.table(),
    )];
    Ok(Report { name: "accuracy", options, table, more, figure, details })
}

fn one(
    spec: &AppSpec,
    what: &Accuracy,
    size: Size,
    at: &Surroundings<'_>,
    progress: &dyn Fn(f64),
) -> Result<Part, Failure> {
    let seed = what.options.seed;
    let mut trial = Trial::new(spec.clone(), size.train, size.test, seed);
    trial.observe.usage_metrics_only = what.usage_only;
    trial.observe.trace_ratio = what.traced.unwrap_or(trial.observe.trace_ratio);
    trial.interval = what.interval.unwrap_or(trial.interval);
    trial.all_alerts = what.all_alerts;
    trial.histograms = what.histograms;
    if let Some(episode) = what.train_faults {
        trial.drift.weather = Some(trial.weather);
        trial.weather.episode = episode;
    }
    trial.labelled = what.compare;
    let record = record(&trial, &between(progress, 0.0, 0.4))?;
    let Sage { line, outcome, .. } = sage(&record, size, seed, at, &between(progress, 0.4, 0.8))?;
    let mut lines = vec![line];
    if !what.compare {
        lines.push(Line::plain("no model", outcome.baseline, false));
    } else {
        let standings = contest(&record, seed, at.clock, &between(progress, 0.8, 1.0));
        lines.extend(standings.into_iter().map(Line::from));
    }
    let details = outcome.cases.iter().filter_map(|case| told(&record.spec, case)).collect();
    let mut reliability = Reliability::default();
    outcome.cases.iter().for_each(|case| reliability.add(&record.spec, case));
    Ok(Part { lines, details, reliability })
}

/// Three panels, one below the other, as in the paper.
fn figure(all: &[(String, Vec<Line>)]) -> Figure {
    let groups: Vec<String> = all.iter().map(|(app, _)| app.clone()).collect();
    let systems: Vec<String> = all
        .first()
        .map(|(_, lines)| lines.iter().map(|l| l.system.clone()).collect())
        .unwrap_or_default();
    let panel = |title: &str, pick: &dyn Fn(&Line) -> usize| {
        let of = |system: &String| -> Vec<Option<f64>> {
            let line = |lines: &Vec<Line>| -> Option<f64> {
                let line = lines.iter().find(|l| l.system == *system)?;
                line.accuracy().map(|_| 100.0 * line.score.share(pick(line)))
            };
            all.iter().map(|(_, lines)| line(lines)).collect()
        };
        let series = systems.iter().map(|s| (s.clone(), of(s))).collect();
        Panel {
            title: title.into(),
            x: Axis::new(""),
            y: Axis::new("%").from_to(0.0, 100.0),
            marks: Marks::Bars(Bars { groups: groups.clone(), series }),
        }
    };
    Figure {
        title: "Root causes found (paper, Fig. 12)".into(),
        across: 1,
        panels: vec![
            panel("First service named is to blame", &|l| l.score.service),
            panel("False negatives: somebody to blame is not named", &|l| l.score.false_negative),
            panel("False positives: somebody innocent is named", &|l| l.score.false_positive),
        ],
    }
}
