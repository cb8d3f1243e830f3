//! A diagnosis is a pure function of (frames, normal values, target, mechanism).
//!
//! In: alerts, and the history they refer to. Out: [`Diagnosis`]. Knows no model, only
//! [`Mechanism`]; knows no clock but the one in `task.rs`.
//!
//! [`Diagnosis`]: crate::data::Diagnosis
//! [`Mechanism`]: crate::graph::Mechanism

mod baseline;
mod book;
mod columns;
mod config;
mod evidence;
mod hosts;
mod inquiry;
mod metrics;
mod normal;
mod path;
mod range;
mod replicas;
mod resources;
mod search;
mod tail;
mod target;
mod task;
#[cfg(test)]
mod tests;
mod verdict;

pub use book::{Book, Cause, Incident, diagnosis_id};
pub use config::Config;
pub use metrics::Metrics;
pub use normal::normal_frame;
pub use target::{assumed_target, find_target, met, met_all};
pub use task::{Facts, Journal, Surroundings, run};
pub use verdict::{Question, Verdict, diagnose};
