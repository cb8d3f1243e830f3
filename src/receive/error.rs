//! Why a request is turned away, independent of the protocol it came by.

use crate::queue::Full;

/// The key that limits bodies.
pub(super) const BODY_KEY: &str = "receive.body_bytes_max";

/// A request that is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The bytes are not what the headers promise.
    #[error("{what}: {why}")]
    Malformed {
        /// What was being read, for example `snappy block`.
        what: &'static str,
        /// The decoder's complaint.
        why: String,
    },
    /// A body beyond the limit.
    #[error("{what} exceeds {key} = {max}")]
    TooLarge {
        /// `body`, `decompressed body` or `number of messages`.
        what: &'static str,
        /// The configuration key.
        key: &'static str,
        /// The limit.
        max: usize,
    },
    /// A content type or encoding nobody speaks here.
    #[error("unsupported {header} {value:?}; this endpoint takes {expected}")]
    Unsupported {
        /// Header name.
        header: &'static str,
        /// What it said.
        value: String,
        /// What it may say.
        expected: &'static str,
    },
    /// The sender stopped in the middle of the body.
    #[error("the body did not arrive: {0}")]
    Incomplete(String),
    /// Too much waits already.
    #[error(transparent)]
    Overloaded(#[from] Full),
    /// The process takes nearly all the memory it may.
    #[error("overloaded: memory is short (memory.soft_ratio of the budget is in use)")]
    Short,
    /// Other requests hold too much memory.
    #[error("overloaded: other requests hold most of receive.bytes_in_flight_max = {max}")]
    Crowded {
        /// The limit.
        max: usize,
    },
}

impl Rejection {
    /// The label of the counter.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::Unsupported { .. } => "unsupported",
            Self::Incomplete(_) => "incomplete",
            Self::Overloaded(_) | Self::Crowded { .. } => "overloaded",
            Self::Short => "memory",
        }
    }
}
