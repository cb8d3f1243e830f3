//! Fig. 18: how long training and inference take as services and replicas grow.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::line::{Line, SCORES, Sage, between, sage};
use super::options::{Options, Size};
use super::report::Report;
use super::surroundings::{Failure, Parts, Surroundings};
use super::table::{Entry, Table};
use crate::graph::Mechanism as _;
use crate::lab::plot::{Axis, Figure, Lines, Marks, Panel};
use crate::lab::sim::{AppSpec, SimConfig, random_graph, social_network};
use crate::lab::{Trial, record};

/// Factors on the replicas, and the load, of the Social Network.
const REPLICAS: [usize; 5] = [1, 2, 3, 5, 10];
/// Services of generated applications.
const SERVICES: [usize; 6] = [25, 50, 100, 200, 500, 1000];
/// Seed of the generated applications.
const GRAPH: u64 = 1;

/// What is kept of one application.
#[derive(Serialize, Deserialize)]
struct Part {
    rpcs: usize,
    line: Line,
    peak_bytes: u64,
}

/// An application to measure, and by how much it was multiplied.
struct Scaled {
    spec: AppSpec,
    factor: usize,
}

/// Measures it. Applications given by name take the place of the generated ones.
///
/// # Errors
/// Unknown applications, failed trainings, files that cannot be written.
pub fn scale(options: &Options, at: &Surroundings<'_>) -> Result<Report, Failure> {
    let all = scaled(options)?;
    let size = options.size(300, 100);
    let mut table = Table::new(&["application", "services", "replicas", "rpcs"]);
    table.columns.extend(SCORES);
    table.columns.extend(["train_s", "diagnose_ms", "peak_mb"]);
    let parts = Parts::new("scale", all.len(), at);
    let mut points: Vec<(usize, usize, Line)> = Vec::new();
    for Scaled { spec, factor } in &all {
        let replicas: usize = spec.services.iter().map(|s| s.replicas).sum();
        let params = json!({ "app": spec.name, "factor": factor, "seed": options.seed,
                             "size": size });
        let name = format!("{} x {factor}", spec.name);
        let part: Part = parts.next(&name, &params, |progress| {
            one(spec, *factor, options.seed, size, at, progress)
        })?;
        let services = spec.services.len();
        let mut row: Vec<Entry> = vec![spec.name.as_str().into(), services.into(), replicas.into()];
        row.push(part.rpcs.into());
        row.extend(part.line.scores());
        row.push(Entry::maybe(part.line.train_s, 1));
        row.push(Entry::maybe(part.line.diagnose_ms, 1));
        row.push(Entry::maybe((part.peak_bytes > 0).then(|| part.peak_bytes as f64 / 1e6), 0));
        table.row(row);
        points.push((services, replicas, part.line));
    }
    let options = json!({ "seed": options.seed, "size": size });
    let figure = Some(figure(&all, &points));
    Ok(Report { name: "scale", options, table, more: Vec::new(), figure, details: Vec::new() })
}

fn scaled(options: &Options) -> Result<Vec<Scaled>, Failure> {
    if !options.apps.is_empty() {
        let specs = options.apps(&[])?;
        return Ok(specs.into_iter().map(|spec| Scaled { spec, factor: 1 }).collect());
    }
    // Small ones before large ones: memory that was once resident tends to stay.
    let more = |factor: &usize| {
        let mut spec = social_network();
        spec.base_rate *= *factor as f64;
        spec.services.iter_mut().for_each(|s| s.replicas *= factor);
        Scaled { spec, factor: *factor }
    };
    let mut all: Vec<Scaled> = options.some(&REPLICAS).iter().map(more).collect();
    let services = options.some(&SERVICES).iter();
    all.extend(services.map(|n| Scaled { spec: random_graph(*n, GRAPH), factor: 1 }));
    Ok(all)
}

fn one(
    spec: &AppSpec,
    factor: usize,
    seed: u64,
    size: Size,
    at: &Surroundings<'_>,
    progress: &dyn Fn(f64),
) -> Result<Part, Failure> {
    let mut trial = Trial::new(spec.clone(), size.train, size.test, seed);
    // As many traces as without the factor: a larger application is sampled more sparsely.
    let trace_ratio = Trial::TRACED / factor as f64;
    trial.observe = SimConfig { trace_ratio, ..trial.observe };
    let record = record(&trial, &between(progress, 0.0, 0.4))?;
    (at.peak_bytes)();
    let Sage { line, model, .. } = sage(&record, size, seed, at, &between(progress, 0.4, 1.0))?;
    Ok(Part { rpcs: model.net().rpcs.len(), line, peak_bytes: (at.peak_bytes)() })
}

/// Training and diagnosis over services, then over replicas.
fn figure(all: &[Scaled], points: &[(usize, usize, Line)]) -> Figure {
    let social = social_network().name;
    let curve = |is_social: bool, pick: &dyn Fn(&Line) -> Option<f64>| {
        let wanted = all.iter().zip(points).filter(|(s, _)| (s.spec.name == social) == is_social);
        let point = |(_, (services, replicas, line)): (&Scaled, &(usize, usize, Line))| {
            let x = if is_social { *replicas } else { *services };
            Some((x as f64, pick(line)?))
        };
        let name = if is_social { "social-network" } else { "generated" };
        vec![(name.to_string(), wanted.filter_map(point).collect())]
    };
    let panel = |is_social: bool, y: &str, pick: &dyn Fn(&Line) -> Option<f64>| Panel {
        title: String::new(),
        x: Axis::new(if is_social { "replicas" } else { "services" }).log(),
        y: Axis::new(y),
        marks: Marks::Lines(Lines { series: curve(is_social, pick), ..Lines::default() }),
    };
    let (train, diagnose) = ("training, s", "one diagnosis, ms");
    Figure {
        title: "Scale (paper, Fig. 18)".into(),
        across: 2,
        panels: vec![
            panel(false, train, &|l| l.train_s),
            panel(false, diagnose, &|l| l.diagnose_ms),
            panel(true, train, &|l| l.train_s),
            panel(true, diagnose, &|l| l.diagnose_ms),
        ],
    }
}
