//! What survives `kill -9`: closed frames, alerts, diagnoses, models, annotation ids, fixes. One SQLite file
//! that any SQLite tool opens.
//!
//! Writes are made by one thread, in order. An alert is on disk before its sender hears 200.

mod db;
mod error;
mod handle;
mod metrics;
mod schema;

pub use db::Db;
pub use error::Error;
pub use handle::{Handle, Kept, Restored, open};
pub use metrics::Metrics;
