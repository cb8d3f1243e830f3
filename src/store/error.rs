//! Why the data directory cannot be used.

use std::path::PathBuf;

/// A failure of the data directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be made or written.
    #[error("data directory {path}: {source}; set [data] dir to a writable directory")]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses it.
    #[error("{0} is locked: another sage uses this data directory; stop it or set [data] dir")]
    Locked(PathBuf),
    /// The file was written by a newer version.
    #[error("{path} has schema version {found}, this program knows up to {known}; upgrade sage")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// SQLite's own complaint.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row that has no text form.
    #[error("database: a row of {table} cannot be written: {why}")]
    Row {
        /// Table.
        table: &'static str,
        /// The serialiser's complaint.
        why: String,
    },
    /// The writer thread is gone.
    #[error("the database writer has stopped")]
    Stopped,
}
