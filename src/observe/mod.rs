//! Logs and metrics about ourselves.

mod exposition;
mod log;
mod process;

pub use exposition::{Exposition, Registry};
pub use log::{LogConfig, LogFormat, init as init_log};
pub use process::ProcessCollector;
