//! `sage lab accuracy`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::args::AccuracyArgs;
use super::run::{FAILURE, fail};
use crate::lab::sim::{AppSpec, Fault, SimConfig, paper_apps};
use crate::lab::{Case, Outcome, Trial, Weather, run_trial};

/// Length of an interval.
const INTERVAL: Duration = Duration::from_secs(30);
/// Share of the requests that is traced.
const TRACED: f64 = 0.1;

#[allow(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn accuracy(args: &AccuracyArgs) -> ExitCode {
    let apps = paper_apps();
    let chosen = apps.iter().filter(|a| args.app.as_ref().is_none_or(|name| a.name == *name));
    println!(
        "{:<18} {:>5} {:>8} {:>9} {:>6} {:>6} {:>6} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8}",
        "application",
        "cases",
        "service",
        "resource",
        "exact",
        "FP",
        "FN",
        "silent",
        "R2",
        "RMSE ms",
        "BARO",
        "train s",
        "diag ms"
    );
    for spec in chosen {
        match run(spec, args) {
            Ok(outcome) => {
                print_row(&spec.name, &outcome);
                if args.details {
                    outcome.cases.iter().for_each(|case| print_case(spec, case));
                }
            }
            Err(why) => return fail(FAILURE, &std::io::Error::other(why)),
        }
    }
    ExitCode::SUCCESS
}

fn run(spec: &AppSpec, args: &AccuracyArgs) -> Result<Outcome, String> {
    let observe = SimConfig {
        trace_ratio: TRACED,
        usage_metrics_only: args.usage_only,
        ..SimConfig::default()
    };
    let trial = Trial {
        spec: spec.clone(),
        observe,
        interval: INTERVAL,
        train: args.train as usize,
        test: args.test as usize,
        seed: args.seed,
        weather: Weather::default(),
    };
    let start = clock();
    run_trial(&trial, &|| start.elapsed().as_secs_f64())
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn print_row(name: &str, o: &Outcome) {
    let share = |part: usize| format!("{:.3}", o.score.share(part));
    println!(
        "{:<18} {:>5} {:>8} {:>9} {:>6} {:>6} {:>6} {:>7} {:>6.3} {:>8.1} {:>8.3} {:>8.1} {:>8.1}",
        name,
        o.score.cases,
        share(o.score.service),
        share(o.score.both),
        share(o.score.exact),
        share(o.score.false_positive),
        share(o.score.false_negative),
        share(o.score.silent),
        o.quality.r2,
        o.quality.rmse_ms,
        o.baseline.share(o.baseline.service),
        o.train_seconds,
        o.diagnose_ms,
    );
}

/// A violation that was not answered right, and the answer.
#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn print_case(spec: &AppSpec, case: &Case) {
    let first = case.named.first();
    let is_right = first.is_some_and(|(s, r)| case.blame.names_resource(*s, *r));
    let services: Vec<usize> = case.named.iter().map(|(s, _)| *s).collect();
    if is_right && case.blame.is_exactly(&services) {
        return;
    }
    let names = |faults: &[Fault]| -> String {
        let name = |f: &Fault| format!("{} {}", spec.services[f.service].name, f.kind);
        faults.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    println!("  {}", if is_right { "inexact" } else { "wrong" });
    println!("    injected: {}", names(&case.minute.faults));
    let how = if case.blame.alternatives { "any of" } else { "all of" };
    println!("    to blame, {how}: {}", names(&case.blame.faults));
    let named = case.verdict.root_causes.iter().map(|c| {
        let resource = c.resource.map_or_else(|| "not a resource".to_string(), |r| r.to_string());
        format!("{} {resource} (P {:.2}, {:.0} ms)", c.service, c.probability, c.counterfactual_ms)
    });
    println!("    named: {}", named.collect::<Vec<_>>().join(", "));
}

#[allow(clippy::disallowed_methods, reason = "how long it takes is wall-clock time")]
fn clock() -> Instant {
    Instant::now()
}
