//! Why the sidecar did not start.

use crate::http::BindError;
use crate::store;

/// A start-up failure.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The data directory.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Grafana's token file.
    #[error("grafana.token_file: {0}")]
    Token(std::io::Error),
}
