//! Updates of a running application, replayed (paper 6.4): how accurate diagnoses are after each of
//! them, and how long retraining takes, by policy.

mod outcome;
mod policies;
mod probe;
mod run;
mod stream;
mod versions;

pub use outcome::{Outcome, Point, PolicyName, Speed, Training};
pub use run::{Options, run};
pub use versions::{Version, versions};
