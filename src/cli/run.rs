//! Commands -> what they do; faults -> exit codes.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::args::{Cli, Command, Lab};
use super::backfill::backfill;
use super::demo::demo;
use super::lab::replay;
use super::live::{live, live_service, live_sweep};
use super::load::{load, soak, storm};
use super::study::study;
use crate::app;
use crate::config::{self, Config};
use crate::demo::Options;
use crate::observe;

/// Wrong usage or configuration (`EX_USAGE`).
pub(super) const USAGE: u8 = 64;
/// A failure of ours or of the machine.
pub(super) const FAILURE: u8 = 1;

/// Time that threads which compute have to notice the end.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Serve { config, parent } => serve(config.as_deref(), parent),
        Command::Check { file, print } => check(&file, print),
        Command::Demo { seed, intervals, keep } => {
            demo(Options { seed, intervals: intervals as usize }, keep)
        }
        Command::Backfill(args) => backfill(&args),
        Command::Lab(Lab::Replay { dir, seed, details }) => replay(&dir, seed, details),
        Command::Lab(Lab::Live(args)) => live(&args),
        Command::Lab(Lab::LiveService) => live_service(),
        Command::Lab(Lab::LiveSweep { home }) => live_sweep(&home),
        Command::Lab(Lab::Load(args)) if args.storm => storm(&args),
        Command::Lab(Lab::Load(args)) => load(&args),
        Command::Lab(Lab::Soak(args)) => soak(&args),
        Command::Lab(Lab::Study(what)) => study(&what),
    }
}

fn serve(path: Option<&Path>, parent: Option<i32>) -> ExitCode {
    let config = match path.map(config::load).transpose() {
        Ok(config) => config.unwrap_or_default(),
        Err(faults) => return fail(USAGE, &faults),
    };
    observe::init_log(&config.log);
    let listen = &config.listen;
    app::drop_capabilities([listen.http, listen.otlp_grpc, listen.otlp_http].map(|a| a.port()));
    // After capabilities: a change of credentials would undo it.
    if let Some(Err(error)) = parent.map(app::end_with) {
        return fail(FAILURE, &error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILURE, &error),
    };
    let served = runtime.block_on(app::serve(&config, path.map(Into::into)));
    runtime.shutdown_timeout(GRACE);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        // Readable for whoever started us, but not without the capabilities that were dropped.
        Err(
            error
            @ (app::Error::Token { .. } | app::Error::Security(_) | app::Error::Memory { .. }),
        ) => fail(USAGE, &error),
        Err(error) => fail(FAILURE, &error),
    }
}

fn check(file: &Path, print: bool) -> ExitCode {
    match config::load(file) {
        Err(faults) => fail(USAGE, &faults),
        Ok(config) if print => match to_toml(&config) {
            Ok(text) => answer(&text),
            Err(error) => fail(FAILURE, &error),
        },
        Ok(_) => answer(&format!("{}: no faults\n", file.display())),
    }
}

/// Writes the answer of a command. Whoever closes the pipe has seen enough.
pub(super) fn answer(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(FAILURE, &error),
        _ => ExitCode::SUCCESS,
    }
}

fn to_toml(config: &Config) -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(config)
}

/// Says what is wrong, with its causes, on standard error.
#[allow(clippy::print_stderr, reason = "the last word of a failing command")]
pub(super) fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("sage: {error}");
    let mut cause = error.source();
    while let Some(e) = cause {
        // Our own messages quote their causes already.
        if !text.contains(&e.to_string()) {
            text.push_str(&format!(": {e}"));
        }
        cause = e.source();
    }
    eprintln!("{text}");
    ExitCode::from(code)
}
