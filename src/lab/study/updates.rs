//! Fig. 17 and section 6.4: accuracy and retraining time while the application is updated.

use serde_json::json;

use super::options::Options;
use super::report::Report;
use super::surroundings::{Failure, Parts, Surroundings};
use super::table::{Entry, Table};
use crate::lab::Score;
use crate::lab::plot::{Axis, Figure, Lines, Marks, Panel};
use crate::lab::updates::{
    Before, Followed, MOMENTS, PolicyName, Quiet, Replay, Scores, Size, Training, versions,
};
use crate::model;

/// Columns of accuracy, by intervals since the update.
const AFTER: [&str; MOMENTS.len()] =
    ["after_1", "after_3", "after_5", "after_8", "after_12", "after_24"];
/// Updates of a quick run, and intervals between them.
const QUICK_UPDATES: usize = 2;
const QUICK_BETWEEN: usize = 8;
const QUICK_STEPS: [usize; 2] = [60, 20];

/// Where causes are, as rows of the table say it.
type Place = (&'static str, fn(&Scores) -> Score);
const PLACES: [Place; 3] =
    [("changed", |s| s.changed), ("neighbours", |s| s.near), ("anywhere", |s| s.all)];

/// One update and what came of it.
type One = (&'static str, Followed);

/// Replays the updates. `options.train`: intervals before the first one; `options.test`: intervals
/// simulated beside each version, the violations of which are diagnosed again and again, and intervals
/// without any update.
///
/// # Errors
/// Applications other than the Social Network, failed trainings, files that cannot be written.
pub fn updates(options: &Options, at: &Surroundings<'_>) -> Result<Report, Failure> {
    if options.apps.iter().any(|app| app != "social-network") {
        return Err("the updates are those of social-network".into());
    }
    let size = size(options);
    let versions = versions();
    let count = if options.quick { QUICK_UPDATES } else { versions.len() - 1 };
    let params = |what: &str| json!({ "seed": options.seed, "size": size, "part": what });
    let parts = Parts::new("updates", count + 2, at);
    let mut replay = Replay::new(options.seed, size);
    let before: Before = parts.next("before the updates", &params("before"), |progress| {
        Ok(replay.before(at.clock, progress)?)
    })?;
    let quiet: Quiet = parts.next("without updates", &params("quiet"), |progress| {
        Ok(replay.quiet(&before.first, at.clock, progress)?)
    })?;
    let mut shelf = before.shelf();
    let mut all: Vec<One> = Vec::new();
    for (n, version) in versions.iter().enumerate().skip(1).take(count) {
        let (name, what) = (version.name, version.what);
        let followed = parts.next(&format!("{name}: {what}"), &params(name), |progress| {
            Ok(replay.follow(n, (&before.first, &shelf), at.clock, progress)?)
        })?;
        shelf = followed.shelf.clone();
        all.push((name, followed));
    }
    let what: Vec<_> = versions.iter().skip(1).map(|v| json!([v.name, v.what])).collect();
    Ok(Report {
        name: "updates",
        options: json!({ "seed": options.seed, "size": size, "updates": what }),
        table: accuracy(&before, &all),
        more: vec![
            ("service and resource right, all updates", with_resource(&all)),
            ("retrainings", trainings(&all)),
            ("seconds of a retraining", times(&all)),
            ("taken for a change where there was none", false_alarms(&quiet)),
        ],
        figure: Some(figure(&all)),
        details: Vec::new(),
    })
}

fn size(options: &Options) -> Size {
    let usual = options.size(1000, 300);
    let (probes, quiet) = if options.quick { (usual.test, 20) } else { (usual.test, 1000) };
    let last = MOMENTS[MOMENTS.len() - 1];
    Size {
        before: usual.train,
        between: if options.quick { QUICK_BETWEEN } else { last },
        probes,
        quiet,
        steps: if options.quick { QUICK_STEPS } else { model::Config::default().steps },
    }
}

/// Share of the violations in which the first service named was right, by update, policy and place.
fn accuracy(before: &Before, all: &[One]) -> Table {
    let mut table = Table::new(&["update", "policy", "cause", "cases"]);
    table.columns.extend(AFTER);
    let score = before.scores.all;
    let mut row: Vec<Entry> = vec!["none yet".into(), "first model".into(), "anywhere".into()];
    row.push(score.cases.into());
    row.push(share(score, score.service));
    row.resize(table.columns.len(), Entry::Nothing);
    table.row(row);
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    for update in names.iter().copied().map(Some).chain([None]) {
        let of: Vec<&One> = all.iter().filter(|(n, _)| update.is_none_or(|u| u == *n)).collect();
        for policy in PolicyName::ALL {
            for (place, pick) in PLACES {
                let label = [update.unwrap_or("all"), &policy.to_string(), place];
                table.row(over_time(&of, label, (policy, pick), |s| s.service));
            }
        }
    }
    table
}

fn with_resource(all: &[One]) -> Table {
    let mut table = Table::new(&["update", "policy", "cause", "cases"]);
    table.columns.extend(AFTER);
    let of: Vec<&One> = all.iter().collect();
    for policy in PolicyName::ALL {
        for (place, pick) in PLACES {
            let label = ["all", &policy.to_string(), place];
            table.row(over_time(&of, label, (policy, pick), |s| s.both));
        }
    }
    table
}

fn over_time(
    of: &[&One],
    label: [&str; 3],
    (policy, pick): (PolicyName, fn(&Scores) -> Score),
    right: fn(&Score) -> usize,
) -> Vec<Entry> {
    let sums = MOMENTS.map(|moment| sum(of, policy, moment, pick, right));
    let mut row: Vec<Entry> = label.into_iter().map(Entry::from).collect();
    row.push(sums[0].1.into());
    let entry = |(right, cases): (usize, usize)| {
        Entry::maybe((cases > 0).then(|| right as f64 / cases as f64), 3)
    };
    row.extend(sums.map(entry));
    row
}

/// (right, of how many), so many intervals after the updates.
fn sum(
    of: &[&One],
    policy: PolicyName,
    moment: usize,
    pick: fn(&Scores) -> Score,
    right: fn(&Score) -> usize,
) -> (usize, usize) {
    let points = of.iter().flat_map(|(_, f)| &f.points);
    let points = points.filter(|p| p.policy == policy && p.intervals == moment);
    points.map(|p| pick(&p.scores)).fold((0, 0), |(r, n), s| (r + right(&s), n + s.cases))
}

fn share(score: Score, part: usize) -> Entry {
    Entry::maybe((score.cases > 0).then(|| score.share(part)), 3)
}

fn trainings(all: &[One]) -> Table {
    let mut table =
        Table::new(&["update", "intervals", "policy", "seconds", "services", "of", "reason"]);
    for (update, training) in all.iter().flat_map(|(n, f)| f.trainings.iter().map(move |t| (n, t)))
    {
        let Training { intervals, policy, seconds, services, reason, refused } = training;
        let reason = refused.as_ref().map_or_else(|| reason.clone(), |why| format!("no: {why}"));
        table.row(vec![
            (*update).into(),
            (*intervals).into(),
            Entry::Text(policy.to_string()),
            Entry::Number(*seconds, 2),
            services.0.into(),
            services.1.into(),
            Entry::Text(reason),
        ]);
    }
    table
}

/// Mean times by update, and how much faster partial retraining is than one from scratch on all of history.
fn times(all: &[One]) -> Table {
    let mut table = Table::new(&[
        "update",
        "retrainings",
        "partial_s",
        "incremental_s",
        "scratch_since_s",
        "intervals",
        "scratch_all_s",
        "times_faster",
    ]);
    let (mut partial, mut scratch) = (Vec::new(), Vec::new());
    for (update, followed) in all {
        let of = |policy: PolicyName| -> Vec<f64> {
            let of_it = |t: &&Training| t.policy == policy && t.refused.is_none();
            followed.trainings.iter().filter(of_it).map(|t| t.seconds).collect()
        };
        let seconds = of(PolicyName::Partial);
        let (intervals, all_s) = followed.all_of_history;
        let partial_s = mean(&seconds);
        table.row(vec![
            (*update).into(),
            seconds.len().into(),
            Entry::maybe(partial_s, 2),
            Entry::maybe(mean(&of(PolicyName::Incremental)), 2),
            Entry::maybe(mean(&of(PolicyName::Scratch)), 2),
            intervals.into(),
            Entry::Number(all_s, 2),
            Entry::maybe(partial_s.map(|p| all_s / p), 1),
        ]);
        partial.extend(seconds);
        scratch.push(all_s);
    }
    let (partial_s, all_s) = (mean(&partial), mean(&scratch));
    let mut row: Vec<Entry> = vec!["all".into(), partial.len().into()];
    row.push(Entry::maybe(partial_s, 2));
    row.extend([Entry::Nothing, Entry::Nothing, Entry::Nothing]);
    row.push(Entry::maybe(all_s, 2));
    row.push(Entry::maybe(partial_s.zip(all_s).map(|(p, s)| s / p), 1));
    table.row(row);
    table
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn false_alarms(quiet: &Quiet) -> Table {
    let mut table = Table::new(&["interval", "of", "per_1000", "reason"]);
    let per_1000 = 1000.0 * quiet.found.len() as f64 / quiet.intervals.max(1) as f64;
    table.row(vec![
        "all".into(),
        quiet.intervals.into(),
        Entry::Number(per_1000, 1),
        Entry::Text(format!("{} found, {} retrainings", quiet.found.len(), quiet.trainings)),
    ]);
    for (interval, reason) in &quiet.found {
        let at = Entry::Text(interval.to_string());
        let reason = Entry::Text(reason.clone());
        table.row(vec![at, quiet.intervals.into(), Entry::Nothing, reason]);
    }
    table
}

/// Accuracy over time, all updates together, a line for each policy: causes that the updates changed, and all.
fn figure(all: &[One]) -> Figure {
    let of: Vec<&One> = all.iter().collect();
    let panel = |title: &str, pick: fn(&Scores) -> Score| {
        let line = |policy: PolicyName| {
            let point = |moment: usize| {
                let (right, cases) = sum(&of, policy, moment, pick, |s| s.service);
                (cases > 0).then(|| (moment as f64, 100.0 * right as f64 / cases as f64))
            };
            (policy.to_string(), MOMENTS.into_iter().filter_map(point).collect())
        };
        Panel {
            title: title.into(),
            x: Axis::new("intervals since the update"),
            y: Axis::new("right service, %").from_to(0.0, 100.0),
            marks: Marks::Lines(Lines {
                series: PolicyName::ALL.map(line).into(),
                ..Lines::default()
            }),
        }
    };
    let panels = vec![
        panel("causes at changed services", |s| s.changed),
        panel("causes anywhere", |s| s.all),
    ];
    let title = "Updates of the application (paper, Fig. 17)".into();
    Figure { title, across: 2, panels }
}
