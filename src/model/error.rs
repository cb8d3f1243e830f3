//! Why there is no (new) model.

use super::scale::ScaleError;

/// A model could not be trained, saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to learn from.
    #[error("{frames} intervals with {rpcs} RPCs are too few to learn from")]
    TooFew {
        /// Intervals.
        frames: usize,
        /// RPCs in the graph.
        rpcs: usize,
    },
    /// Metrics could not be scaled.
    #[error("scaling metrics: {0}")]
    Scale(#[from] ScaleError),
    /// A fault of ours.
    #[error("internal error, please report: {0}")]
    Internal(String),
    /// Stopped from outside.
    #[error("training was cancelled")]
    Cancelled,
    /// The loss is no number any more.
    #[error("training diverged at step {step}; the model in use stays")]
    Diverged {
        /// Step.
        step: usize,
    },
    /// The model in use is better.
    #[error(
        "the new model fits worse (R2 {new:.3}) than the one in use ({old:.3}), which stays; \
         it will be tried again with more data"
    )]
    Worse {
        /// R² of the new one.
        new: f64,
        /// R² of the one in use.
        old: f64,
    },
    /// A checkpoint of another version or another shape.
    #[error("checkpoint refused: {0}")]
    Mismatch(String),
}
