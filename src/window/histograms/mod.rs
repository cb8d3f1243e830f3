//! Latency histograms of proxies and tracing back ends in, RPCs out: what there is where no spans come.
//!
//! In: buckets of known conventions. Out: windows of RPCs that spans do not show. Absent on purpose:
//! operations between services, which no convention tells apart; see [`ANY_OP`](crate::data::ANY_OP).

mod assemble;
mod book;
mod cells;
mod config;
mod convention;
mod sides;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

pub(super) use assemble::Assembled;
pub(super) use book::{Followed, Histograms, Offered};
pub use config::Config;
pub(super) use convention::{CONVENTIONS, known};
