//! Load over the wire: an open-loop generator of real OTLP and remote write, and what it measures.
//!
//! In: targets, rates, shapes. Out: [`Outcome`]s, tables, verdicts. Latency is counted from the moment a
//! request was due, so a receiver that stalls is charged for the requests that had to wait behind it.
//! Absent on purpose: the terminal, the command line.

mod bodies;
mod client;
mod delays;
mod drive;
mod own;
mod plan;
mod process;
mod report;
mod samples;
mod slope;
mod soak;
mod spans;
mod storm;
mod tally;
mod target;

pub use bodies::Bodies;
pub use delays::Delays;
pub use drive::{Clock, Stream, drive};
pub use own::{Own, Purse};
pub use plan::{Loaded, Plan, load};
pub use process::{Reading, Watch, peak_bytes, reading};
pub use report::{Outcome, drops, report};
pub use samples::sample_bodies;
pub use slope::{Slope, slope};
pub use soak::{configure_soak, soak};
pub use spans::{Shape, span_bodies};
pub use storm::{Storm, Verdict, storm};
pub use tally::Tally;
pub use target::{Protocol, Target};
