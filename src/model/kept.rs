//! What one run leaves to the next: the model in use, and the change it has not converged on yet. Without
//! the second a restart would end the retraining of a change half way.
//!
//! On disk a model that is still being fitted to a change is followed by the one from before it, from
//! which the next retraining starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::change::Changes;
use super::error::Error;
use super::policy::Work;
use super::predict::Model;
use crate::data::{EventTime, Name, RpcKey, RpcKind, SavedModel};

/// The model in use and what it is being fitted to.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The model in use.
    pub model: Arc<Model>,
    /// The change that is being followed.
    pub following: Option<Work>,
}

/// The manifest of a model that is being fitted to a change.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Manifest of the model in use.
    model: String,
    /// Bytes of its weights; behind them are those of the base.
    weights: usize,
    changes: Told,
    base: Base,
}

#[derive(Serialize, Deserialize)]
struct Base {
    id: String,
    trained_at: EventTime,
    manifest: String,
}

/// [`Changes`] without maps that JSON cannot have.
#[derive(Serialize, Deserialize)]
struct Told {
    services: BTreeMap<Name, BTreeSet<String>>,
    new_rpcs: Vec<(RpcKey, RpcKind)>,
    gone_rpcs: BTreeSet<RpcKey>,
    since: EventTime,
}

impl Kept {
    /// What goes to disk.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when a model holds a number JSON cannot.
    pub fn save(&self) -> Result<SavedModel, Error> {
        let saved = self.model.save()?;
        let Some(Work { base, changes }) = &self.following else { return Ok(saved) };
        let of_base = base.save()?;
        let manifest = Manifest {
            model: saved.manifest,
            weights: saved.weights.len(),
            changes: Told::from(changes),
            base: Base {
                id: of_base.id,
                trained_at: of_base.trained_at,
                manifest: of_base.manifest,
            },
        };
        let manifest =
            serde_json::to_string(&manifest).map_err(|e| Error::Mismatch(e.to_string()))?;
        let mut weights = saved.weights;
        weights.extend(of_base.weights);
        Ok(SavedModel { manifest, weights, ..saved })
    }

    /// Reads what [`Kept::save`] or [`Model::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it is of another format, other sizes or another net.
    pub fn load(saved: &SavedModel) -> Result<Self, Error> {
        let Ok(manifest) = serde_json::from_str::<Manifest>(&saved.manifest) else {
            return Ok(Self { model: Arc::new(Model::load(saved)?), following: None });
        };
        let Some((own, others)) = saved.weights.split_at_checked(manifest.weights) else {
            return Err(Error::Mismatch(format!("model {}: weights are missing", saved.id)));
        };
        let model = Model::load(&SavedModel {
            id: saved.id.clone(),
            trained_at: saved.trained_at,
            manifest: manifest.model,
            weights: own.to_vec(),
        })?;
        let Base { id, trained_at, manifest: of_base } = manifest.base;
        let base = SavedModel { id, trained_at, manifest: of_base, weights: others.to_vec() };
        let base = Arc::new(Model::load(&base)?);
        let following = Some(Work { base, changes: manifest.changes.into() });
        Ok(Self { model: Arc::new(model), following })
    }
}

impl From<&Changes> for Told {
    fn from(changes: &Changes) -> Self {
        Self {
            services: changes.services.clone(),
            new_rpcs: changes.new_rpcs.iter().map(|(key, kind)| (key.clone(), *kind)).collect(),
            gone_rpcs: changes.gone_rpcs.clone(),
            since: changes.since,
        }
    }
}

impl From<Told> for Changes {
    fn from(told: Told) -> Self {
        let Told { services, new_rpcs, gone_rpcs, since } = told;
        Self { services, new_rpcs: new_rpcs.into_iter().collect(), gone_rpcs, since }
    }
}
