//! Command line -> what is done; faults -> exit codes: 64 for the operator's mistake, 1 for ours.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use tracing_subscriber::filter::LevelFilter;

use super::args::{Args, Ask};
use super::ctl;
use super::error::Error;
use super::policy::Policy;
use super::serve::serve;
use super::start::{Opened, read_policy};
use crate::wire::{Answer, Request};

const USAGE: u8 = 64;
const FAILURE: u8 = 1;

/// Does what the command line says.
pub fn run(args: Args) -> ExitCode {
    if let Some(ask) = args.ask {
        return talk(ask);
    }
    if let Some(file) = args.check_policy {
        return match Policy::load(&file) {
            Ok(_) => say(&format!("{}: no faults\n", file.display())),
            Err(faults) => fail(USAGE, &faults),
        };
    }
    // One line an event, on standard error. Journald adds the time, but not everybody has it.
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(LevelFilter::INFO)
        .with_target(false)
        .with_ansi(false)
        .init();
    match start(&args.policy, args.recover) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ (Error::Policy(_) | Error::Untrusted { .. } | Error::Certificate { .. })) => {
            fail(USAGE, &error)
        }
        Err(error) => fail(FAILURE, &error),
    }
}

fn start(policy: &Path, is_recovery: bool) -> Result<(), Error> {
    let ready = Opened::open(read_policy(policy)?, is_recovery)?.drop_privileges()?.recover()?;
    if is_recovery {
        drop(std::fs::remove_file(&ready.socket.path));
        return match ready.keeper.held() {
            0 => Ok(()),
            count => Err(Error::Held { count }),
        };
    }
    serve(ready.confine()?)
}

fn talk(ask: Ask) -> ExitCode {
    let (request, at) = match ask {
        Ask::List { at } => (Ok(Request::List {}), at),
        Ask::Revert { fix, at } => (ctl::revert(&fix), at),
        Ask::Inspect { cgroup, at } => (Ok(ctl::inspect(cgroup)), at),
        Ask::Ctl { request, at } => (ctl::request(&request), at),
    };
    let request = match request {
        Ok(request) => request,
        Err(why) => return fail(USAGE, &why),
    };
    match ctl::ask(&at.socket, &request) {
        Ok(Answer::Refused(refusal)) => fail(FAILURE, &refusal),
        Ok(answer) => say(&ctl::describe(&answer)),
        Err(why) => fail(FAILURE, &why),
    }
}

fn say(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever closes the pipe has seen enough.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => fail(FAILURE, &e),
        _ => ExitCode::SUCCESS,
    }
}

#[allow(clippy::print_stderr, reason = "the last word of a failing command")]
fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("sage-helper: {error}");
    ExitCode::from(code)
}
