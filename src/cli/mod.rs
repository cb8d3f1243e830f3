//! The command line.

mod args;
mod run;

pub use args::{Cli, Command};
pub use run::run;
