//! `sage lab ...`

use std::path::Path;
use std::process::ExitCode;

use super::progress::Progress;
use super::run::{FAILURE, USAGE, fail};
use crate::app;
use crate::config::Config;
use crate::lab::replay::{self, Fault, Recording, Row, Summary};
use crate::observe::{self, LogConfig};

/// A configuration for a sidecar of our own: free ports, quiet, data in `dir`.
pub(super) fn own_sidecar(dir: &Path) -> Config {
    let mut config = Config::default();
    config.listen.http.set_port(0);
    config.listen.otlp_grpc.set_port(0);
    config.listen.otlp_http.set_port(0);
    config.data.dir = dir.into();
    config.log = LogConfig { level: "warn".into(), ..LogConfig::default() };
    config
}

pub(super) fn replay(dir: &Path, seed: u64, details: bool) -> ExitCode {
    let recording = match Recording::open(dir) {
        Ok(recording) => recording,
        Err(error) => return fail(USAGE, &error),
    };
    match replay_in(&recording, seed) {
        Ok(rows) => {
            print_rows(&rows, details);
            ExitCode::SUCCESS
        }
        Err(error) => fail(FAILURE, &*error),
    }
}

fn replay_in(
    recording: &Recording,
    seed: u64,
) -> Result<Vec<Row>, Box<dyn std::error::Error + Send + Sync>> {
    let dir = tempfile::tempdir()?;
    let mut config = own_sidecar(dir.path());
    replay::configure(&mut config);
    config.train.seed = seed;
    observe::init_log(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let path = dir.path().join("sage.toml");
        let sidecar = app::start(&config, Some(path.clone())).await?;
        let progress = Progress::new();
        let show = |what: &str, share: f64| progress.show(what, share);
        let (http, otlp_grpc) = (sidecar.http, sidecar.otlp_grpc);
        let to = replay::Sidecar { http, otlp_grpc, config: &path };
        let rows = replay::run(recording, &to, &show).await;
        progress.finish();
        sidecar.stop().await;
        rows
    })
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn print_rows(rows: &[Row], details: bool) {
    println!(
        "{:<6} {:<24} {:<24} {:<8} {:<26} {:<15} {:<24} {:<8}",
        "fault", "alert", "injected", "", "violated most", "outcome", "named", ""
    );
    for row in rows {
        let resource = |f: &Fault| f.resource.map_or_else(|| "code".to_string(), |r| r.to_string());
        let (id, service, kind) = match &row.fault {
            Some(f) => (f.id.as_str(), f.service.as_str(), resource(f)),
            None if row.is_odd => ("odd", "", String::new()),
            None => ("quiet", "", String::new()),
        };
        println!(
            "{:<6} {:<24} {:<24} {:<8} {:<26} {:<15} {:<24} {:<8} {}",
            id,
            row.at,
            service,
            kind,
            row.violated,
            row.outcome,
            row.service.as_deref().unwrap_or("-"),
            row.resource.map_or_else(|| "-".to_string(), |r| r.to_string()),
            if row.is_right() { "" } else { "<-- wrong" },
        );
        if details && !row.is_right() {
            println!("       {}", row.diagnosis["text"].as_str().unwrap_or(""));
            println!("       {}", row.diagnosis["services"]);
            println!("       {}", row.diagnosis["root_causes"]);
        }
    }
    let s = Summary::of(rows);
    let share =
        |part: usize, whole: usize| format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64);
    println!();
    println!("resource faults                 {:>4}", s.faults);
    println!(
        "  service right                 {:>4}  {}",
        s.service_top1,
        share(s.service_top1, s.faults)
    );
    println!(
        "  service and resource right    {:>4}  {}",
        s.service_resource_top1,
        share(s.service_resource_top1, s.faults)
    );
    println!("  no target violated            {:>4}", s.not_violated);
    println!(
        "code faults: no resource blamed {:>4}  of {}",
        s.code_faults_without_resource, s.code_faults
    );
    println!(
        "quiet minutes: false alarms     {:>4}  of {}  {}",
        s.false_alarms,
        s.quiet,
        share(s.false_alarms, s.quiet)
    );
    println!(
        "unlabelled minutes that look wrong (not scored): somebody blamed in {} of {}",
        s.odd_blamed, s.odd
    );
    // A struct of numbers always serialises.
    println!("{}", serde_json::to_string(&s).unwrap_or_default());
}
