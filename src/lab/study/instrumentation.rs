//! Fig. 13: a growing share of the tiers sends no spans of its own.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::line::{Line, SCORES, between, sage};
use super::options::{Options, Size};
use super::report::Report;
use super::surroundings::{Failure, Parts, Surroundings};
use super::table::{Entry, Table};
use crate::lab::plot::{Axis, Figure, Lines, Marks, Panel};
use crate::lab::sim::{AppSpec, SimConfig};
use crate::lab::{Trial, contest, record};

/// Applications of the figure.
const APPS: [&str; 3] = ["social-network", "media-service", "hotel-reservation"];
/// Shares of the tiers that are silent.
const SHARES: [f64; 5] = [0.0, 0.05, 0.1, 0.2, 0.5];
/// The compared system whose accuracy the paper shows beside Sage's.
const SEER: &str = "Seer";

/// How missing instrumentation is tried.
#[derive(Clone, Debug)]
pub struct Instrumentation {
    /// What all studies may be told. 1000 intervals are trained on and 500 tested by default.
    pub options: Options,
    /// Whether silent tiers do not pass the trace on either, so that all behind them is silent, too.
    pub cut: bool,
}

#[derive(Serialize, Deserialize)]
struct Part {
    silent: usize,
    lines: Vec<Line>,
}

/// Measures accuracy with incomplete instrumentation.
///
/// # Errors
/// Unknown applications, failed trainings, files that cannot be written.
pub fn instrumentation(what: &Instrumentation, at: &Surroundings<'_>) -> Result<Report, Failure> {
    let apps = what.options.apps(&APPS)?;
    let size = what.options.size(1000, 500);
    let shares = what.options.some(&SHARES);
    let seed = what.options.seed;
    let mut table = Table::new(&["application", "silent_share", "silent_tiers", "system"]);
    table.columns.extend(SCORES);
    let mut series: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    let parts = Parts::new("instrumentation", apps.len() * shares.len(), at);
    for spec in &apps {
        for share in shares {
            let what_for = format!("{} {:.0} %", spec.name, 100.0 * share);
            let params = json!({ "app": spec.name, "share": share, "seed": seed, "size": size,
                                 "cut": what.cut });
            let part: Part =
                parts.next(&what_for, &params, |p| one(spec, *share, what, size, at, p))?;
            for line in &part.lines {
                let mut row: Vec<Entry> =
                    vec![spec.name.as_str().into(), Entry::Number(*share, 2), part.silent.into()];
                row.push(line.system.as_str().into());
                row.extend(line.scores());
                table.row(row);
                let name = format!("{}, {}", line.system, spec.name);
                let point = line.accuracy().map(|a| (100.0 * share, 100.0 * a));
                match series.iter_mut().find(|(n, _)| *n == name) {
                    Some((_, points)) => points.extend(point),
                    None => series.push((name, point.into_iter().collect())),
                }
            }
        }
    }
    let options = json!({ "seed": seed, "size": size, "cut": what.cut });
    let figure = Some(figure(series));
    Ok(Report {
        name: "instrumentation",
        options,
        table,
        more: Vec::new(),
        figure,
        details: Vec::new(),
    })
}

fn one(
    spec: &AppSpec,
    share: f64,
    what: &Instrumentation,
    size: Size,
    at: &Surroundings<'_>,
    progress: &dyn Fn(f64),
) -> Result<Part, Failure> {
    let seed = what.options.seed;
    let (spec, silent) = silenced(spec, share, seed);
    let mut trial = Trial::new(spec, size.train, size.test, seed);
    trial.observe = SimConfig { silent_services_forward: !what.cut, ..trial.observe };
    trial.labelled = true;
    let record = record(&trial, &between(progress, 0.0, 0.5))?;
    let mut lines = vec![sage(&record, size, seed, at, &between(progress, 0.5, 1.0))?.line];
    let standings = contest(&record, seed, at.clock, &|_| {});
    lines.extend(standings.into_iter().filter(|s| s.name == SEER).map(Line::from));
    Ok(Part { silent, lines })
}

/// `spec` with `share` of the services that send spans, at least one unless it is zero, made silent.
/// A larger share holds all of a smaller one; entry services keep theirs, because the target is
/// about them.
fn silenced(spec: &AppSpec, share: f64, seed: u64) -> (AppSpec, usize) {
    let mut spec = spec.clone();
    let entries: Vec<usize> = spec.entries.iter().map(|e| e.service).collect();
    let sends = |s: &usize| spec.services[*s].instrumented;
    let all: Vec<usize> = (0..spec.services.len()).filter(sends).collect();
    let count = (share * all.len() as f64).ceil() as usize;
    let mut inner: Vec<usize> = all.into_iter().filter(|s| !entries.contains(s)).collect();
    inner.shuffle(&mut SmallRng::seed_from_u64(seed));
    inner.truncate(count);
    for s in &inner {
        spec.services[*s].instrumented = false;
    }
    (spec, inner.len())
}

fn figure(series: Vec<(String, Vec<(f64, f64)>)>) -> Figure {
    Figure {
        title: "Tiers without instrumentation (paper, Fig. 13)".into(),
        across: 1,
        panels: vec![Panel {
            title: String::new(),
            x: Axis::new("tiers that send no spans, %"),
            y: Axis::new("right service, %").from_to(0.0, 100.0),
            marks: Marks::Lines(Lines { series, ..Lines::default() }),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::sim::social_network;

    #[test]
    fn silent_tiers_are_among_those_that_speak_and_more_silence_includes_less() {
        let app = social_network();
        let silent = |share| -> Vec<usize> {
            let (spec, count) = silenced(&app, share, 3);
            let differs = |s: &usize| spec.services[*s] != app.services[*s];
            let silent: Vec<usize> = (0..spec.services.len()).filter(differs).collect();
            assert_eq!(silent.len(), count);
            silent
        };
        let speaking = app.services.iter().filter(|s| s.instrumented).count();
        assert_eq!((silent(0.0).len(), silent(0.05).len()), (0, 1));
        let (some, half) = (silent(0.2), silent(0.5));
        assert_eq!(half.len(), speaking.div_ceil(2));
        assert!(some.iter().all(|s| half.contains(s)));
        assert!(!silent(1.0).contains(&app.entries[0].service));
    }
}
