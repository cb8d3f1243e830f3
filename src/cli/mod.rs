//! The command line.

mod args;
mod backfill;
mod backfill_args;
mod demo;
mod lab;
mod live;
mod load;
mod load_args;
mod progress;
mod run;
mod study;

pub use args::{Cli, Command};
pub use run::run;
