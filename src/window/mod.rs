//! Time in, one [`Frame`] per interval out.
//!
//! In: spans in any order and samples of any scrape interval, latency histograms among them. Out: latency percentiles per RPC and
//! feature percentiles per service. Absent on purpose: the wall clock, except for time-outs.
//!
//! [`Frame`]: crate::data::Frame

mod answerers;
mod bounds;
mod config;
mod features;
mod followed;
mod histograms;
mod history;
mod intervals;
mod memory;
mod metrics;
mod names;
mod pace;
mod pair;
mod relations;
mod replicas;
mod resources;
mod row;
mod rpcs;
mod sampling;
mod series;
mod sketch;
mod skew;
mod target;
mod targets;
mod task;
#[cfg(test)]
mod tests;
mod traces;
mod watermark;
mod windower;

pub use config::Config;
pub use features::builtin_features;
pub use histograms::Config as HistogramConfig;
pub use history::History;
pub use metrics::Metrics;
pub use sketch::Sketch;
pub use task::{Outputs, run};
pub use windower::{Progress, Windower};
