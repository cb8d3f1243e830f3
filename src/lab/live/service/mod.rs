//! One service of the application, as a process of its own: HTTP in, work, HTTP and stores out, spans to
//! the sidecar.

mod exporter;
mod files;
mod orders;
mod run;
mod spans;
mod stores;
mod worker;
mod wrongs;

pub(super) use orders::{Orders, Place};
pub use run::run;
pub(super) use stores::fill;
