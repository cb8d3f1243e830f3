//! `sage demo`

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use super::lab::own_sidecar;
use super::progress::Progress;
use super::run::{FAILURE, GRACE, fail};
use crate::app::{self, Signals};
use crate::config::{Config, Listen};
use crate::data::{EventTime, QosTarget};
use crate::demo::{self, Options, Stage, Verdict, Watcher};
use crate::lab::sim::AppSpec;
use crate::observe;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Terminal {
    progress: Progress,
}

impl Watcher for Terminal {
    fn progress(&self, what: &str, share: f64) {
        self.progress.show(what, share);
    }

    fn begin(&self, target: &QosTarget) {
        self.progress.finish();
        demo::print_head(&format!(
            "Target: p{} of {} within {} ms. One fault after another:",
            target.quantile * 100.0,
            target.service,
            target.target_ms
        ));
    }

    fn verdict(&self, spec: &AppSpec, verdict: &Verdict) {
        demo::print_row(spec, verdict);
    }
}

pub(super) fn demo(options: Options, keep: bool) -> ExitCode {
    match show(options, keep) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, &*error),
    }
}

fn show(options: Options, keep: bool) -> Result<(), Failure> {
    let stage = Stage::new(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // From here on nobody is killed by a signal, so the directory is removed in any case.
    let mut signals = {
        let _context = runtime.enter();
        Signals::catch()?
    };
    let dir = tempfile::tempdir()?;
    let mut config = own_sidecar(dir.path());
    config.listen = Listen::default();
    stage.configure(&mut config);
    observe::init_log(&config.log);
    let shown = runtime.block_on(async {
        let sidecar = start(&mut config).await?;
        let shown = tokio::select! {
            shown = play(&stage, options, &sidecar) => shown,
            _ = signals.next() => Err("interrupted".into()),
        };
        if keep && shown.is_ok() {
            wait(&sidecar, &mut signals).await;
        }
        sidecar.stop().await;
        shown
    });
    runtime.shutdown_timeout(GRACE);
    shown
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
async fn play(stage: &Stage, options: Options, sidecar: &app::Running) -> Result<(), Failure> {
    println!(
        "Sage listens on http://{} (page, API), {} (OTLP/gRPC), {} (OTLP/HTTP).",
        sidecar.http, sidecar.otlp_grpc, sidecar.otlp_http
    );
    println!(
        "A simulated Social Network of {} services sends it {} intervals of everyday traffic.",
        stage.spec.services.len(),
        options.intervals
    );
    let start = now().minus(stage.duration());
    let terminal = Terminal { progress: Progress::new() };
    let to = (sidecar.http, sidecar.otlp_grpc);
    let verdicts = demo::run(stage, start, to, &terminal).await;
    terminal.progress.finish();
    demo::print_score(&verdicts?);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
async fn wait(sidecar: &app::Running, signals: &mut Signals) {
    println!();
    println!("Still serving on http://{}. Ctrl-C ends it.", sidecar.http);
    signals.next().await;
}

/// The usual ports, or free ones when somebody uses them.
#[allow(clippy::print_stdout, reason = "the answer of the command")]
async fn start(config: &mut Config) -> Result<app::Running, app::Error> {
    match app::start(config, None).await {
        Err(app::Error::Bind(taken)) => {
            println!("{taken}");
            println!("Using free ports instead.");
            for address in [
                &mut config.listen.http,
                &mut config.listen.otlp_grpc,
                &mut config.listen.otlp_http,
            ] {
                address.set_port(0);
            }
            app::start(config, None).await
        }
        other => other,
    }
}

#[allow(clippy::disallowed_methods, reason = "the demo's event time ends now")]
fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
