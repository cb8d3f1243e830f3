//! The command line.

mod accuracy;
mod args;
mod demo;
mod lab;
mod progress;
mod run;

pub use args::{Cli, Command};
pub use run::run;
