//! Updates of a running application, replayed (paper 6.4): how accurate diagnoses are after each of
//! them, and how long retraining takes, by policy.

mod outcome;
mod policies;
mod probe;
mod replay;
mod shelf;
mod stream;
mod versions;

pub use outcome::{Before, Followed, Point, PolicyName, Quiet, Scores, Training};
pub use replay::{MOMENTS, Replay, Size};
pub use shelf::{Shelf, Shelved};
pub use versions::{Version, versions};
