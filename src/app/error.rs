//! Why the sidecar did not start, or did not go on.

use std::path::PathBuf;

use crate::http::{BindError, FileError};
use crate::store;

/// A failure of the whole sidecar.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A certificate, a key or a credential of the listeners.
    #[error(transparent)]
    Security(#[from] FileError),
    /// The data directory.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Grafana's token file.
    #[error("grafana.token_file = {path:?}: {source}")]
    Token {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The process may not take enough.
    #[error(
        "memory: the limit of the {source_of_limit} allows {bytes} bytes: Sage needs at least {min}; give the \
         container more, or set memory.budget_bytes if that is not the limit"
    )]
    Memory {
        /// What the process may take.
        bytes: u64,
        /// The least that is enough.
        min: u64,
        /// Who says so.
        source_of_limit: &'static str,
    },
    /// The operating system gives no signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// A part is gone, so the others work for nothing.
    #[error("part {part:?} ended although nobody had asked it to: {why}; please report this")]
    Ended {
        /// Which part.
        part: &'static str,
        /// How it ended.
        why: String,
    },
}
