//! Section 6.1.1: how well latencies are reconstructed, and how well counterfactual ones are
//! foretold. The true counterfactual is the same interval, simulated again without its faults.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::accuracy::APPS;
use super::fit::Fit;
use super::line::{Sage, between, sage};
use super::options::{Options, Size};
use super::report::Report;
use super::surroundings::{Failure, Parts, Surroundings};
use super::table::{Entry, Table};
use crate::data::{Frame, RpcKind};
use crate::diagnose::normal_frame;
use crate::graph::{CausalNet, Hypothesis, Mechanism as _, Query, Restore, What};
use crate::lab::sim::AppSpec;
use crate::lab::{Case, Record, Trial, Violation, record};
use crate::model::Model;

/// Calm intervals from which normal values are taken, as in a diagnosis.
const NORMAL: usize = 240;

/// What is kept of one application.
#[derive(Serialize, Deserialize)]
struct Part {
    fits: Vec<(String, Option<Fit>)>,
}

/// Measures goodness of fit on held-back intervals and of counterfactual latencies.
///
/// # Errors
/// Unknown applications, failed trainings, files that cannot be written.
pub fn latency(options: &Options, at: &Surroundings<'_>) -> Result<Report, Failure> {
    let apps = options.apps(&APPS)?;
    let size = options.size(1000, 500);
    let mut table = Table::new(&["application", "latencies"]);
    table.columns.extend(["values", "r2", "r2_log", "rmse_ms", "median_error"]);
    let parts = Parts::new("latency", apps.len(), at);
    for spec in &apps {
        let params = json!({ "app": spec.name, "seed": options.seed, "size": size });
        let part: Part = parts.next(&spec.name, &params, |p| one(spec, options, size, at, p))?;
        for (of, fit) in part.fits {
            let mut row: Vec<Entry> = vec![spec.name.as_str().into(), Entry::Text(of)];
            row.push(fit.and_then(|f| f.values).map_or(Entry::Nothing, Entry::from));
            row.push(Entry::maybe(fit.map(|f| f.r2), 3));
            row.push(Entry::maybe(fit.map(|f| f.r2_log), 3));
            row.push(Entry::maybe(fit.map(|f| f.rmse_ms), 1));
            row.push(Entry::maybe(fit.and_then(|f| f.median_error), 3));
            table.row(row);
        }
    }
    let options = json!({ "seed": options.seed, "size": size });
    Ok(Report {
        name: "latency",
        options,
        table,
        more: Vec::new(),
        figure: None,
        details: Vec::new(),
    })
}

fn one(
    spec: &AppSpec,
    options: &Options,
    size: Size,
    at: &Surroundings<'_>,
    progress: &dyn Fn(f64),
) -> Result<Part, Failure> {
    let mut trial = Trial::new(spec.clone(), size.train, size.test, options.seed);
    trial.counterfactual = true;
    let record = record(&trial, &between(progress, 0.0, 0.5))?;
    let Sage { model, outcome, .. } =
        sage(&record, size, options.seed, at, &between(progress, 0.5, 1.0))?;
    let quality = model.quality();
    let held_back = Fit {
        values: None,
        r2: quality.r2,
        r2_log: quality.r2_log,
        rmse_ms: quality.rmse_ms,
        median_error: None,
    };
    let asked: Vec<Asked> =
        record.violations.iter().filter_map(|v| ask(&record, &model, v)).collect();
    let every_rpc: Vec<(f64, f64)> = asked.iter().flat_map(|a| a.servers.clone()).collect();
    let entries: Vec<(f64, f64)> = asked.iter().filter_map(|a| a.entry).collect();
    let told: Vec<(f64, f64)> =
        outcome.cases.iter().filter_map(|case| told(&record.spec, case)).collect();
    let fits = vec![
        ("held-back intervals, every RPC".into(), Some(held_back)),
        ("counterfactual, every RPC".into(), Fit::of(&every_rpc)),
        ("counterfactual, end to end".into(), Fit::of(&entries)),
        ("counterfactual, as a diagnosis tells it".into(), Fit::of(&told)),
    ];
    Ok(Part { fits })
}

/// (predicted, true) milliseconds of one violation, had the faulty services been normal.
struct Asked {
    /// Server side of every RPC, every percentile.
    servers: Vec<(f64, f64)>,
    /// What the target is about.
    entry: Option<(f64, f64)>,
}

fn ask(record: &Record, model: &Model, violation: &Violation) -> Option<Asked> {
    let (truth, frame) = (violation.without.as_deref()?, &record.frames[violation.frame]);
    let net = model.net();
    let query = Query {
        restore: restored(record, net, violation)?,
        hypothesis: Hypothesis::Keep,
        draw: None,
    };
    let normal = normal(record, violation.frame);
    let all: Vec<usize> = (0..net.rpcs.len()).collect();
    let case = model.abduct(frame, &normal);
    let answer = case.answer(std::slice::from_ref(&query), &all).pop()?;
    let mut servers = Vec::new();
    let mut would_be = Frame::clone(frame);
    for window in &mut would_be.rpcs {
        let Some(i) = net.rpc(&window.key) else { continue };
        window.client = answer.client[i];
        let Some(true_window) = truth.rpc(&window.key) else { continue };
        let pairs = answer.server[i].0.iter().zip(&true_window.server.0);
        servers.extend(pairs.map(|(p, t)| (f64::from(*p), f64::from(*t))));
    }
    let target = &record.target;
    Some(Asked { servers, entry: target.observed_ms(&would_be).zip(target.observed_ms(truth)) })
}

/// Everything about the services that harmful faults struck; `None` when the net lacks one of them.
fn restored(record: &Record, net: &CausalNet, violation: &Violation) -> Option<Vec<Restore>> {
    let harmful = violation.minute.faults.iter().filter(|f| !f.kind.is_bystander());
    let mut struck: Vec<usize> = harmful
        .map(|f| net.service(&record.spec.services[f.service].name))
        .collect::<Option<_>>()?;
    struck.sort_unstable();
    struck.dedup();
    let is_paired = |i: &usize| net.rpcs[*i].kind == RpcKind::Paired;
    let links = |j: usize| net.served(j).chain(net.invoked(j)).filter(is_paired).collect();
    Some(
        struck
            .into_iter()
            .map(|j| Restore { service: j, what: What::All, nets: links(j) })
            .collect(),
    )
}

/// What is normal before frame number `frame`.
fn normal(record: &Record, frame: usize) -> Frame {
    let met = |f: &&Frame| record.target.is_violated(f) == Some(false);
    let frames = record.frames[..frame].iter().rev().map(|f| &**f).filter(met);
    normal_frame(&frames.take(NORMAL).collect::<Vec<_>>())
}

/// What the diagnosis of a single harmful fault says the latency would have been without it, and what
/// it would have been.
fn told(spec: &AppSpec, case: &Case) -> Option<(f64, f64)> {
    let mut harmful = case.violation.minute.faults.iter().filter(|f| !f.kind.is_bystander());
    let (Some(fault), None) = (harmful.next(), harmful.next()) else { return None };
    let name = &spec.services[fault.service].name;
    // Where back-pressure is part of the answer, only that of the root cause has it.
    let cause = case.verdict.root_causes.iter().find(|c| c.service == *name);
    let score = case.verdict.services.iter().find(|s| s.service == *name);
    let ms = cause.map(|c| c.counterfactual_ms).or_else(|| score.map(|s| s.counterfactual_ms))?;
    Some((ms, case.violation.blame.without_ms))
}
