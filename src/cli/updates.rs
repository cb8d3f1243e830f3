//! `sage lab updates`

use std::fmt::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use super::args::UpdatesArgs;
use super::progress::Progress;
use super::run::{FAILURE, answer, fail};
use crate::lab::updates::{Options, Outcome, PolicyName, run};

pub(super) fn updates(args: &UpdatesArgs) -> ExitCode {
    let options = if args.quick { Options::quick(args.seed) } else { Options::full(args.seed) };
    let progress = Progress::new();
    let start = clock();
    let show = |what: &str, share: f64| progress.show(what, share);
    let outcome = run(&options, &|| start.elapsed().as_secs_f64(), &show);
    progress.finish();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(why) => return fail(FAILURE, &std::io::Error::other(why)),
    };
    if let Some(Err(error)) = args.out.as_deref().map(|dir| write(&outcome, dir)) {
        return fail(FAILURE, &error);
    }
    let mut text = String::new();
    match tell(&outcome, &mut text) {
        Ok(()) => answer(&text),
        Err(error) => fail(FAILURE, &error),
    }
}

/// Everything that was measured, for plots.
fn write(outcome: &Outcome, dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("updates.json"), serde_json::to_string_pretty(outcome)?)?;
    std::fs::write(dir.join("updates.svg"), outcome.figure().to_svg())?;
    std::fs::write(dir.join("updates-accuracy.csv"), outcome.points_csv())?;
    std::fs::write(dir.join("updates-trainings.csv"), outcome.trainings_csv())
}

/// What was measured, for people.
fn tell(outcome: &Outcome, text: &mut String) -> fmt::Result {
    for (name, what) in &outcome.updates {
        writeln!(text, "{name}  {what}")?;
    }
    let (cases, service, both) = outcome.before;
    writeln!(text)?;
    writeln!(
        text,
        "before the first update: {} of {cases} violations, service and resource {}",
        percent(service, cases),
        percent(both, cases)
    )?;
    writeln!(text)?;
    writeln!(text, "service right, by intervals since the update")?;
    let moments = outcome.moments();
    let head: String = moments.iter().map(|m| format!("{m:>8}")).collect();
    writeln!(text, "{:<8}{:<22}{head}", "update", "policy")?;
    for (name, _) in &outcome.updates {
        for policy in PolicyName::ALL {
            let row = outcome.points.iter().filter(|p| p.update == *name && p.policy == policy);
            let row: String = row.map(|p| format!("{:>8}", percent(p.service, p.cases))).collect();
            writeln!(text, "{name:<8}{policy:<22}{row}")?;
        }
    }
    for (what, pick) in [("all", 1), ("+ res.", 2)] {
        for policy in PolicyName::ALL {
            let total = |m: &usize| {
                let (cases, service, both) = outcome.total(policy, *m);
                format!("{:>8}", percent(if pick == 1 { service } else { both }, cases))
            };
            let row: String = moments.iter().map(total).collect();
            writeln!(text, "{what:<8}{policy:<22}{row}")?;
        }
    }
    tell_times(outcome, text)
}

fn tell_times(outcome: &Outcome, text: &mut String) -> fmt::Result {
    writeln!(text)?;
    writeln!(
        text,
        "{:<8}{:>10}  {:<22}{:>9}{:>10}  reason",
        "update", "intervals", "retraining", "seconds", "services"
    )?;
    for t in &outcome.trainings {
        let services = format!("{}/{}", t.services.0, t.services.1);
        let why = t.refused.as_deref().unwrap_or(&t.reason);
        writeln!(
            text,
            "{:<8}{:>10}  {:<22}{:>9.2}{services:>10}  {why}",
            t.update, t.intervals, t.policy, t.seconds
        )?;
    }
    writeln!(text)?;
    for policy in PolicyName::ALL {
        if let Some(seconds) = outcome.mean_seconds(policy) {
            writeln!(text, "{policy:<22} mean {seconds:>7.2} s")?;
        }
    }
    for s in &outcome.speed {
        writeln!(
            text,
            "{}: from scratch on {} intervals {:.1} s, partial+incremental {:.2} s: {:.0} times faster",
            s.update,
            s.intervals,
            s.scratch_seconds,
            s.partial_seconds,
            s.scratch_seconds / s.partial_seconds.max(1e-9)
        )?;
    }
    Ok(())
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

#[allow(clippy::disallowed_methods, reason = "how long it takes is wall-clock time")]
fn clock() -> Instant {
    Instant::now()
}
