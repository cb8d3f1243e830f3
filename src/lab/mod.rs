//! The proving ground: applications to diagnose, faults to find, scores.

pub mod plot;
pub mod replay;
pub mod rivals;
pub mod sim;
pub mod wire;

mod feed;
mod schedule;
mod score;
#[cfg(test)]
mod tests;
mod trial;
mod truth;

pub use feed::Feed;
pub use schedule::{Minute, Schedule, Weather};
pub use score::{Named, Score};
pub use trial::{Case, Outcome, Trial, run as run_trial};
pub use truth::{Blame, judge};
