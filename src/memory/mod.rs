//! How much memory the process may take, and what happens when it takes more.
//!
//! In: the limit of the cgroup, the configuration, what is resident. Out: [`Pressure`], which the doors and
//! the windows look at. Absent on purpose: what the memory is for; `app` splits it over the stages.

mod config;
mod level;
mod limit;
mod metrics;
mod task;

pub use config::{BUDGET_MIN, Config};
pub use level::{Level, Limits, Pressure, Relief};
pub use limit::{Budget, cgroup_limit, find};
pub use metrics::Metrics;
pub use task::{Relieve, Resident, resident, watch};
