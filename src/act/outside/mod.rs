//! Repairs through what runs the containers: more for a replica in place, and more replicas.
//!
//! In: a culprit, and which object it is. Out: `Outside` changes for the plan, and those carried out.
//! Nothing here has a lease: an object stays as it was set. So the old value is on disk before a change,
//! a change is made only where the old value still is, and taken back only where ours still is.

mod amount;
mod carry;
mod config;
mod docker;
mod kubernetes;
mod look;
mod pods;
mod standing;
#[cfg(test)]
mod tests;

pub use amount::Resizable;
pub use carry::carry;
pub use config::{Docker, Kubernetes, Runs, Workload};
pub use look::{Outlook, Question, look};
