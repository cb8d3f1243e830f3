//! Fig. 15: how much there is to learn from.

use serde_json::json;

use super::line::{Line, SCORES, between, sage};
use super::options::Options;
use super::recorded::Recorded;
use super::report::Report;
use super::surroundings::{Failure, Parts, Surroundings};
use super::table::{Entry, Table};
use crate::lab::Trial;
use crate::lab::plot::{Axis, Figure, Lines, Marks, Panel};

/// Applications of the figure.
pub(super) const APPS: [&str; 3] = ["chain", "fanout", "social-network"];
/// Intervals learnt from.
const SIZES: [usize; 6] = [100, 200, 500, 1000, 2000, 5000];
/// The same when it must be quick.
const QUICK_SIZES: [usize; 2] = [60, 100];

/// Measures accuracy and training time by the number of intervals learnt from: the newest of one
/// recording as long as the largest number, or as `options.train`.
///
/// # Errors
/// Unknown applications, failed trainings, files that cannot be written.
pub fn training_size(options: &Options, at: &Surroundings<'_>) -> Result<Report, Failure> {
    let apps = options.apps(&APPS)?;
    let usual: &[usize] = if options.quick { &QUICK_SIZES } else { &SIZES };
    let size = options.size(usual[usual.len() - 1], 500);
    let sizes: Vec<usize> = usual.iter().copied().filter(|n| *n <= size.train).collect();
    let mut table = Table::new(&["application", "intervals"]);
    table.columns.extend(SCORES);
    table.columns.extend(["r2", "train_s"]);
    let (mut accuracy, mut seconds) = (Vec::new(), Vec::new());
    let parts = Parts::new("training-size", apps.len() * sizes.len(), at);
    for spec in &apps {
        let trial = Trial::new(spec.clone(), size.train, size.test, options.seed);
        let recorded = Recorded::new(&trial);
        let (mut right, mut took) = (Vec::new(), Vec::new());
        for intervals in &sizes {
            let params = json!({ "app": spec.name, "seed": options.seed, "size": size,
                                 "intervals": intervals });
            let line: Line =
                parts.next(&format!("{} {intervals}", spec.name), &params, |progress| {
                    let record = recorded.get(&between(progress, 0.0, 0.5))?.newest(*intervals);
                    Ok(sage(&record, size, options.seed, at, &between(progress, 0.5, 1.0))?.line)
                })?;
            let mut row: Vec<Entry> = vec![spec.name.as_str().into(), (*intervals).into()];
            row.extend(line.scores());
            row.push(Entry::maybe(line.r2, 3));
            row.push(Entry::maybe(line.train_s, 1));
            table.row(row);
            right.extend(line.accuracy().map(|a| (*intervals as f64, 100.0 * a)));
            took.extend(line.train_s.map(|s| (*intervals as f64, s)));
        }
        accuracy.push((spec.name.clone(), right));
        seconds.push((spec.name.clone(), took));
    }
    let panel = |label: &str, series: Vec<(String, Vec<(f64, f64)>)>| Panel {
        title: String::new(),
        x: Axis::new("intervals learnt from").log(),
        y: Axis::new(label),
        marks: Marks::Lines(Lines { series, ..Lines::default() }),
    };
    let mut panels = vec![panel("right service, %", accuracy), panel("training, s", seconds)];
    panels[0].y = Axis::new("right service, %").from_to(0.0, 100.0);
    let title = "Training-set size (paper, Fig. 15)".into();
    let figure = Some(Figure { title, across: 2, panels });
    let options = json!({ "seed": options.seed, "size": size });
    Ok(Report {
        name: "training-size",
        options,
        table,
        more: Vec::new(),
        figure,
        details: Vec::new(),
    })
}
