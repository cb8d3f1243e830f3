//! The `sage-helper` command.

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

fn main() -> ExitCode {
    match sage::helper::Args::try_parse() {
        Ok(args) => sage::helper::run(args),
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
