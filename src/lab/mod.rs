//! The proving ground: applications to diagnose, faults to find, scores, and the studies that make
//! tables and figures of them.

pub mod live;
pub mod load;
pub mod plot;
pub mod replay;
pub mod rivals;
pub mod sim;
pub mod study;
pub mod updates;
pub mod wire;

mod contest;
mod feed;
mod record;
mod sage;
mod schedule;
mod score;
#[cfg(test)]
mod tests;
mod trial;
mod truth;

pub use contest::{Standing, contest};
pub use feed::Feed;
pub use record::{Record, Violation, record};
pub use sage::{Case, Outcome, examine, examine_late, learn};
pub use schedule::{Minute, Schedule, Weather};
pub use score::{Named, Score};
pub use trial::{Drift, Trial};
pub use truth::{Blame, judge};
