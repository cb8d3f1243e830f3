//! A recorded system through the real listeners: Online Boutique as the Nezha data set has it.
//!
//! In: the directory of the recording. Out: a table and a score. Labels are read only to know when
//! to ask, and to score the answers; nothing of them reaches the sidecar.

mod labels;
mod metrics;
mod recording;
mod run;
mod score;
mod spans;

pub use labels::{Fault, Labels};
pub use recording::{Error, Recording};
pub use run::{Sidecar, configure, run};
pub use score::{Row, Summary};
