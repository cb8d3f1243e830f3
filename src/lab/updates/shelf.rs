//! Models between two updates, as text: a replay that was interrupted goes on with them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::{EventTime, SavedModel};
use crate::model::{Kept, Model};

/// A model, and the change it is being fitted to, as it would be on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shelved {
    id: String,
    trained_at: EventTime,
    manifest: String,
    /// Hexadecimal.
    weights: String,
}

/// The models of the policies that carry one over from update to update.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shelf {
    /// Incremental retraining.
    pub incremental: Shelved,
    /// What its next retraining starts from.
    pub incremental_base: Shelved,
    /// Partial and incremental retraining.
    pub partial: Shelved,
}

impl Shelved {
    pub(super) fn new(kept: &Kept) -> Result<Self, String> {
        let SavedModel { id, trained_at, manifest, weights } =
            kept.save().map_err(|e| e.to_string())?;
        let weights = weights.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id, trained_at, manifest, weights })
    }

    pub(super) fn of(model: &Arc<Model>) -> Result<Self, String> {
        Self::new(&Kept { model: model.clone(), following: None })
    }

    pub(super) fn open(&self) -> Result<Kept, String> {
        let pair = |at: usize| {
            let text = self.weights.get(at..at + 2).ok_or("half a byte")?;
            u8::from_str_radix(text, 16).map_err(|e| e.to_string())
        };
        let weights = (0..self.weights.len()).step_by(2).map(pair);
        let saved = SavedModel {
            id: self.id.clone(),
            trained_at: self.trained_at,
            manifest: self.manifest.clone(),
            weights: weights.collect::<Result<_, String>>()?,
        };
        Kept::load(&saved).map_err(|e| e.to_string())
    }
}

impl Shelf {
    /// The same model everywhere.
    pub(super) fn all(model: &Shelved) -> Self {
        let model = || model.clone();
        Self { incremental: model(), incremental_base: model(), partial: model() }
    }
}
