//! A recorded system through the real listeners, in the form of the Nezha data set.
//!
//! In: the directory of the recording. Out: a table and a score. Labels are read only to know when
//! to ask, and to score the answers; nothing of them reaches the sidecar.

mod labels;
mod metrics;
mod objectives;
mod recording;
mod run;
mod score;
mod spans;

pub use labels::{Fault, Labels};
pub use recording::{Error, Recording};
pub use run::{Sidecar, configure, run};
pub use score::{Row, Summary};
