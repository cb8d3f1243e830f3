//! The `sage` command.

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

/// Gives memory back once it is no longer used: after a storm the system's allocator keeps most of it, and the
/// limits of `[memory]`, which look at what is resident, would never let anybody in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match sage::cli::Cli::try_parse() {
        Ok(cli) => sage::cli::run(cli),
        Err(error) => {
            // Help and version are answers, everything else is wrong usage.
            let is_answer =
                matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A closed pipe is no reason to complain.
            drop(error.print());
            if is_answer { ExitCode::SUCCESS } else { ExitCode::from(64) }
        }
    }
}
