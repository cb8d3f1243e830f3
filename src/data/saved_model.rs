//! A model as it lies on disk.

use super::time::EventTime;

/// Manifest and weights.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedModel {
    /// Identity.
    pub id: String,
    /// End of the newest interval it was trained on.
    pub trained_at: EventTime,
    /// Everything but the weights, JSON.
    pub manifest: String,
    /// The weights.
    pub weights: Vec<u8>,
}
