//! How a backfill fails.

use std::path::PathBuf;

use crate::client::Failure;
use crate::data::EventTime;

/// Why a backfill ended early. What was finished before stays finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stretch makes no sense.
    #[error("--from {from} --to {to}: {why}")]
    Range {
        /// Where it was to begin.
        from: EventTime,
        /// Where it was to end.
        to: EventTime,
        /// What is wrong.
        why: &'static str,
    },
    /// A source or the sidecar does not do what it should.
    #[error("{who}: {failure}; {cure}")]
    Call {
        /// Prometheus, Jaeger or the sidecar.
        who: &'static str,
        /// What happened.
        failure: Failure,
        /// What to do about it.
        cure: &'static str,
    },
    /// An answer nobody can read.
    #[error(
        "{who}: {url}: {why}; is this the address of the API, without a proxy's login page before it?"
    )]
    Unreadable {
        /// Prometheus, Jaeger or the sidecar.
        who: &'static str,
        /// What was called.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The sidecar's history is ahead of what it should be filled with.
    #[error(
        "the sidecar has closed intervals up to {until}, and takes nothing from before; stop live senders \
         and start it with an empty data directory, or begin with --from {until}"
    )]
    Closed {
        /// End of the newest one.
        until: EventTime,
    },
    /// The state file cannot be used.
    #[error("{path}: {why}; --state names another file", path = path.display())]
    State {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}
