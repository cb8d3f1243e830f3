//! Why a listener cannot be had.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The port could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {name}: {source}; is another instance running?")]
pub struct BindError {
    /// Which listener.
    pub name: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

/// A certificate, a key or a secret that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {path:?}: {why}")]
pub struct FileError {
    /// The configuration key.
    pub key: String,
    /// The file it names.
    pub path: PathBuf,
    /// What is wrong, and what to do about it.
    pub why: String,
}

impl FileError {
    pub(super) fn new(key: &str, path: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self { key: key.into(), path: path.into(), why: why.into() }
    }
}
