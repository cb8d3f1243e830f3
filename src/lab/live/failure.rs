//! How a run fails.

/// Anything that keeps a run from going on.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
