//! Fig. 16: how often is sampled, and how many requests are traced.

use std::time::Duration;

use serde_json::json;

use super::line::{Line, SCORES, between, sage};
use super::options::Options;
use super::report::Report;
use super::surroundings::{Failure, Parts, Surroundings};
use super::table::{Entry, Table};
use super::training_size::APPS;
use crate::lab::plot::{Axis, Figure, Lines, Marks, Panel};
use crate::lab::sim::SimConfig;
use crate::lab::{Trial, record};

/// Intervals, seconds; every request is traced, and each replica is scraped twice an interval.
const INTERVALS_S: [u64; 5] = [1, 5, 15, 30, 60];
/// Shares of the requests that are traced, at the product's interval.
const TRACED: [f64; 4] = [1.0, 0.1, 0.03, 0.01];

/// One point: interval in seconds and share traced.
type Point = (u64, f64);

/// Measures accuracy by sampling interval and by the share of requests that is traced. The number of
/// intervals stays the same, so shorter ones mean less time watched.
///
/// # Errors
/// Unknown applications, failed trainings, files that cannot be written.
pub fn sampling(options: &Options, at: &Surroundings<'_>) -> Result<Report, Failure> {
    let apps = options.apps(&APPS)?;
    let size = options.size(1000, 500);
    let usual_s = Trial::INTERVAL.as_secs();
    let by_interval: Vec<Point> = options.some(&INTERVALS_S).iter().map(|s| (*s, 1.0)).collect();
    let by_share: Vec<Point> = options.some(&TRACED).iter().map(|r| (usual_s, *r)).collect();
    let mut points = by_interval.clone();
    points.extend(by_share.iter().filter(|p| !by_interval.contains(p)));
    let mut table = Table::new(&["application", "interval_s", "traced_share"]);
    table.columns.extend(SCORES);
    table.columns.extend(["r2"]);
    let (mut over_interval, mut over_share) = (Vec::new(), Vec::new());
    let parts = Parts::new("sampling", apps.len() * points.len(), at);
    for spec in &apps {
        let mut found: Vec<(Point, Option<f64>)> = Vec::new();
        for point in &points {
            let (interval_s, traced) = *point;
            let params = json!({ "app": spec.name, "seed": options.seed, "size": size,
                                 "interval_s": interval_s, "traced": traced });
            let name = format!("{} {interval_s} s, {:.0} %", spec.name, 100.0 * traced);
            let line: Line = parts.next(&name, &params, |progress| {
                let mut trial = Trial::new(spec.clone(), size.train, size.test, options.seed);
                trial.interval = Duration::from_secs(interval_s);
                trial.observe = observed(&trial, traced);
                let record = record(&trial, &between(progress, 0.0, 0.6))?;
                Ok(sage(&record, size, options.seed, at, &between(progress, 0.6, 1.0))?.line)
            })?;
            let mut row: Vec<Entry> = vec![spec.name.as_str().into()];
            row.extend([Entry::Count(interval_s), Entry::Number(traced, 2)]);
            row.extend(line.scores());
            row.push(Entry::maybe(line.r2, 3));
            table.row(row);
            found.push((*point, line.accuracy()));
        }
        over_interval.push((spec.name.clone(), curve(&by_interval, &found, |p| p.0 as f64)));
        over_share.push((spec.name.clone(), curve(&by_share, &found, |p| 100.0 * p.1)));
    }
    let panel = |label: &str, series: Vec<(String, Vec<(f64, f64)>)>| Panel {
        title: String::new(),
        x: Axis::new(label).log(),
        y: Axis::new("right service, %").from_to(0.0, 100.0),
        marks: Marks::Lines(Lines { series, ..Lines::default() }),
    };
    let panels = vec![
        panel("sampling interval, s", over_interval),
        panel(&format!("requests traced at {usual_s} s, %"), over_share),
    ];
    let title = "Sampling (paper, Fig. 16)".into();
    let figure = Some(Figure { title, across: 2, panels });
    let options = json!({ "seed": options.seed, "size": size });
    Ok(Report { name: "sampling", options, table, more: Vec::new(), figure, details: Vec::new() })
}

/// Two scrapes an interval, so that each interval knows the rates within it.
fn observed(trial: &Trial, trace_ratio: f64) -> SimConfig {
    SimConfig { trace_ratio, scrape_every: trial.interval / 2, ..trial.observe.clone() }
}

/// Accuracy in percent along some of the points.
fn curve(
    along: &[Point],
    found: &[(Point, Option<f64>)],
    x: impl Fn(&Point) -> f64,
) -> Vec<(f64, f64)> {
    let of = |p: &Point| found.iter().find(|(q, _)| q == p).and_then(|(_, a)| *a);
    along.iter().filter_map(|p| Some((x(p), 100.0 * of(p)?))).collect()
}
