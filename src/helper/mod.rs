//! `sage-helper`: everything that runs with privileges, and nothing else.
//!
//! In: requests on a Unix socket, or over TLS from certificates that are known. Out: knobs of the kernel,
//! turned for a limited time within a policy, and put back. Deliberately absent: async, the model, and
//! any decision: what to change is `act`'s business. docs/helper.md has the trust zones and the threats.

mod amount;
mod args;
mod asker;
mod bound;
mod check;
mod clock;
mod cpus;
mod crash;
mod ctl;
mod error;
mod host;
mod inspect;
mod interface;
mod journal;
mod keeper;
mod knob;
mod knobs;
mod lease;
mod line;
mod links;
mod locate;
mod members;
mod pattern;
mod peer;
mod place;
mod places;
mod policy;
mod privilege;
mod remote;
mod resctrl;
mod root;
mod run;
mod seccomp;
mod serve;
mod start;
mod stream;
mod undo;

#[cfg(test)]
mod tests;

pub use args::{Args, Ask, At};
pub use bound::Bound;
pub use cpus::Cpus;
pub use error::Error;
pub use pattern::Patterns;
pub use policy::{Limits, Policy, Roots, Rule, Sandbox, SocketPolicy, State};
pub use remote::TcpPolicy;
pub use run::run;
