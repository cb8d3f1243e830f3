//! `sage lab load`: clock, child process and terminal around [`crate::lab::load`].

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::load_args::LoadArgs;
use super::progress::Progress;
use super::run::{FAILURE, USAGE, answer, fail};
use crate::app::Signals;
use crate::config::{self, Config};
use crate::lab::load::{self, Loaded, Own, Plan, Shape, Storm, Target, Verdict};
use crate::lab::study::{Failure, Report};
use crate::lab::wire::Api;

/// How long it lasts, and spans a second, unless somebody says otherwise.
struct Usual(Duration, u64);

const LOAD: Usual = Usual(Duration::from_secs(10), 50_000);
const STORM: Usual = Usual(Duration::from_secs(300), 10_000);
const SOAK: Usual = Usual(Duration::from_secs(600), 5_000);

/// What is wrong with the arguments.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreadable(String);

#[allow(clippy::disallowed_methods, reason = "what is sent happens now")]
pub(super) fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn load(args: &LoadArgs) -> ExitCode {
    let (targets, references) = match args.urls() {
        Ok(urls) => urls,
        Err(why) => return fail(USAGE, &Unreadable(why)),
    };
    let config = match configured(args) {
        Ok(config) => config,
        Err(code) => return code,
    };
    finish(run(args, &config, targets, references), args.out.as_deref())
}

/// The configuration that was asked for.
fn configured(args: &LoadArgs) -> Result<Config, ExitCode> {
    let loaded = args.config.as_deref().map(config::load).transpose();
    loaded.map(Option::unwrap_or_default).map_err(|faults| fail(USAGE, &faults))
}

/// Where load comes from. From here on a signal is a request, so that the sidecar does not stay behind.
struct Stage {
    runtime: tokio::runtime::Runtime,
    signals: Signals,
}

impl Stage {
    fn set() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let signals = {
            let _context = runtime.enter();
            Signals::catch()?
        };
        Ok(Self { runtime, signals })
    }

    /// Does `work` unless somebody wants an end of it.
    fn perform<T, E: Into<Failure>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let signals = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                done = work => done.map_err(Into::into),
                _ = signals.next() => Err("interrupted; the sidecar is stopped".into()),
            }
        })
    }
}

/// Shows a report, and writes it where it was wanted.
pub(super) fn finish(report: Result<Report, Failure>, out: Option<&std::path::Path>) -> ExitCode {
    let written = report.and_then(|report| {
        out.map(|dir| report.write(dir)).transpose()?;
        Ok(report)
    });
    match written {
        Ok(report) => answer(&text(&report)),
        Err(error) => fail(FAILURE, &*error),
    }
}

fn text(report: &Report) -> String {
    let mut text = report.table.to_text();
    for (title, table) in &report.more {
        text.push_str(&format!("\n{title}\n{}", table.to_text()));
    }
    text
}

pub(super) fn soak(args: &LoadArgs) -> ExitCode {
    let plan = plan(args, &SOAK);
    let mut config = match configured(args) {
        Ok(config) => config,
        Err(code) => return code,
    };
    load::configure_soak(&mut config);
    let work = || -> Result<Report, Failure> {
        let (mut stage, dir, progress) = (Stage::set()?, tempfile::tempdir()?, Progress::new());
        let own = Own::start(&std::env::current_exe()?, &config, dir.path())?;
        let show = |what: &str, share: f64| progress.show(what, share);
        let report = stage.perform(load::soak(&plan, &own, wall_ns, &show));
        progress.finish();
        report
    };
    finish(work(), args.out.as_deref())
}

pub(super) fn storm(args: &LoadArgs) -> ExitCode {
    let what = Storm {
        calm: plan(args, &STORM),
        duration: args.duration.unwrap_or(STORM.0),
        budget_bytes: args.budget_mib << 20,
        interval: args.interval,
    };
    let mut config = match configured(args) {
        Ok(config) => config,
        Err(code) => return code,
    };
    what.configure(&mut config);
    let work = || -> Result<Verdict, Failure> {
        let (mut stage, dir, progress) = (Stage::set()?, tempfile::tempdir()?, Progress::new());
        let mut own = Own::start(&std::env::current_exe()?, &config, dir.path())?;
        let show = |what: &str, share: f64| progress.show(what, share);
        let verdict = stage.perform(load::storm(&what, &mut own, wall_ns, &show));
        progress.finish();
        verdict
    };
    match work() {
        Ok(Verdict { report, holds }) => {
            let code = finish(Ok(report), args.out.as_deref());
            if holds { code } else { ExitCode::from(FAILURE) }
        }
        Err(error) => fail(FAILURE, &*error),
    }
}

fn plan(args: &LoadArgs, usual: &Usual) -> Plan {
    let spans = args.spans.unwrap_or(usual.1);
    Plan {
        spans_per_s: spans as f64,
        samples_per_s: args.samples.unwrap_or(2 * spans) as f64,
        duration: args.duration.unwrap_or(usual.0),
        connections: args.connections.into(),
        rpcs: args.rpcs as usize,
        series: args.series as usize,
        request_spans: args.request_spans as usize,
        request_samples: args.request_samples as usize,
        shape: if args.halves { Shape::Halves } else { Shape::Traces },
    }
}

fn run(
    args: &LoadArgs,
    config: &Config,
    targets: Vec<Target>,
    references: Vec<Target>,
) -> Result<Report, Failure> {
    let (plan, progress) = (plan(args, &LOAD), Progress::new());
    let (mut stage, dir) = (Stage::set()?, tempfile::tempdir()?);
    // Lives as long as it is loaded.
    let own = match targets.is_empty() {
        true => Some(Own::start(&std::env::current_exe()?, config, dir.path())?),
        false => None,
    };
    let mut all = Vec::new();
    if let Some(own) = &own {
        for url in
            [format!("http://{}", own.otlp_grpc), format!("http://{}/api/v1/write", own.http)]
        {
            let target = Target::parse(&url, args.v2)?;
            let (name, status) = (args.name.clone(), Some(Api::new(own.http)));
            all.push(Loaded { name, target, pid: Some(own.pid()), status });
        }
    }
    for target in targets {
        all.push(Loaded { name: args.name.clone(), target, pid: args.pid, status: None });
    }
    for target in references {
        let name = target.uri.authority().map(ToString::to_string).unwrap_or_default();
        all.push(Loaded { name, target, pid: args.reference_pid, status: None });
    }
    let show = |what: &str, share: f64| progress.show(what, share);
    let outcomes = stage.perform(load::load(&plan, &all, wall_ns, &show));
    progress.finish();
    Ok(load::report("load", plan.to_json(), &outcomes?))
}
