//! The soak: steady load for long, and whether memory grows.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::drive::{Clock, Stream, drive};
use super::own::Own;
use super::plan::{Plan, settled};
use super::process::{Watch, reading};
use super::report::{Outcome, drops, report};
use super::slope::{Slope, slope};
use super::target::Target;
use crate::config::Config;
use crate::lab::study::{Entry, Failure, Report, Table};
use crate::lab::wire::Api;

/// Share of the time after which memory is expected to be steady.
const WARM_UP: f64 = 0.3;
/// Between two readings of the memory.
const LOOK: Duration = Duration::from_secs(1);
/// Intervals kept: few, so that the history is full early and its growth is not taken for a leak.
const HISTORY: usize = 60;

/// The configuration of the sidecar: a history that fills within a minute, and trainings on it.
pub fn configure_soak(config: &mut Config) {
    config.window.interval = Duration::from_secs(1);
    config.window.lateness = Duration::from_secs(1);
    config.window.history = HISTORY;
    config.train.min_intervals = HISTORY;
    config.train.every = Duration::from_secs(120);
}

/// Loads `own` with both kinds at once.
///
/// # Errors
/// The sidecar does not answer, or it is too short to say anything.
pub async fn soak(
    plan: &Plan,
    own: &Own,
    clock: Clock,
    show: &(dyn Fn(&str, f64) + Sync),
) -> Result<Report, Failure> {
    let api = Api::new(own.http);
    let targets = [
        Target::parse(&format!("http://{}", own.otlp_grpc), false)?,
        Target::parse(&format!("http://{}/api/v1/write", own.http), true)?,
    ];
    let streams = targets.map(|target| Stream {
        bodies: Arc::new(plan.bodies(&target)),
        items_per_s: plan.items_per_s(&target),
        connections: plan.connections,
        target,
    });
    let before = settled(&api).await?;
    let (cpu, watch) = (reading(own.pid()), Watch::start(own.pid()));
    let loading = drive(&streams, plan.duration, clock);
    let (tallies, points) = tokio::join!(loading, look(own.pid(), plan.duration, show));
    let after = settled(&api).await?;
    let (peak, end) = (watch.stop(), reading(own.pid()));
    let drops = drops(&before, &after);
    let outcomes: Vec<Outcome> = tallies
        .into_iter()
        .zip(&streams)
        .enumerate()
        .map(|(i, (tally, stream))| Outcome {
            receiver: "sage".into(),
            protocol: stream.target.protocol.name(),
            offered_per_s: stream.items_per_s,
            seconds: plan.duration.as_secs_f64(),
            tally,
            drops: (i == 0).then(|| drops.clone()),
            peak_bytes: (i == 0).then_some(peak),
            resident_bytes: end.filter(|_| i == 0).map(|r| r.resident_bytes),
            cpu_s: cpu.zip(end).filter(|_| i == 0).map(|(b, a)| a.cpu_s - b.cpu_s),
        })
        .collect();
    let warm = plan.duration.as_secs_f64() * WARM_UP;
    let steady: Vec<(f64, f64)> = points.into_iter().filter(|(t, _)| *t >= warm).collect();
    let found = slope(&steady).ok_or("too short to tell a slope: take at least a minute")?;
    let mut report = report("soak", plan.to_json(), &outcomes);
    if let Some(options) = report.options.as_object_mut() {
        options.insert("warm_up_s".into(), json!(warm));
    }
    report.more.insert(0, ("Resident memory after the warm-up", table(&steady, found)));
    Ok(report)
}

/// Memory by time, until the end.
async fn look(pid: i32, duration: Duration, show: &(dyn Fn(&str, f64) + Sync)) -> Vec<(f64, f64)> {
    let start = tokio::time::Instant::now();
    let mut points = Vec::new();
    while start.elapsed() < duration {
        let at = start.elapsed().as_secs_f64();
        points.extend(reading(pid).map(|now| (at, now.resident_bytes as f64)));
        show("soak", at / duration.as_secs_f64());
        tokio::time::sleep(LOOK).await;
    }
    points
}

fn table(points: &[(f64, f64)], found: Slope) -> Table {
    let mut table = Table::new(&[
        "readings",
        "first_mb",
        "last_mb",
        "mean_mb",
        "slope_mb_per_h",
        "low_mb_per_h",
        "high_mb_per_h",
        "grows",
    ]);
    let mb = |bytes: f64| Entry::Number(bytes / 1e6, 2);
    let per_h = |bytes_per_s: f64| mb(bytes_per_s * 3600.0);
    let value = |point: Option<&(f64, f64)>| mb(point.map_or(f64::NAN, |p| p.1));
    let mean = points.iter().map(|p| p.1).sum::<f64>() / points.len().max(1) as f64;
    let (low, high) = (found.slope - found.error, found.slope + found.error);
    table.row(vec![
        points.len().into(),
        value(points.first()),
        value(points.last()),
        mb(mean),
        per_h(found.slope),
        per_h(low),
        per_h(high),
        if low > 0.0 { "yes" } else { "not shown" }.into(),
    ]);
    table
}
