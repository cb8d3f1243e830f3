//! From a diagnosis to a fix on the node: plans, asks the node helpers, watches whether it helps, takes
//! it back.
//!
//! In: diagnoses, frames, the wishes of operators. Out: requests to helpers, the journal of fixes.
//! Everything that decides is pure: `plan` and `Book`. Absent on purpose: anything of the kernel's; the
//! helper alone touches it, and its policy bounds whatever is asked here.

mod book;
mod client;
mod config;
mod dial;
mod event;
mod exec;
mod hook;
mod inventory;
mod ladder;
mod machine;
mod metrics;
mod nodes;
mod outside;
mod plan;
mod propose;
mod survey;
mod tally;
mod task;
#[cfg(test)]
mod tests;

pub use book::Book;
pub use config::{BestEffort, Config, Located};
pub use event::{Command, Event, Means, Order, Word};
pub use inventory::{Inventory, Place, locate, obvious_target};
pub use metrics::Metrics;
pub use nodes::{Helper, Tls};
pub use outside::{Docker, Kubernetes, Outlook, Question, Resizable, Runs, Workload, carry, look};
pub use plan::{Plan, plan};
pub use propose::{fix_id, propose, sentence};
pub use task::{Restored, Surroundings, Wish, run};
