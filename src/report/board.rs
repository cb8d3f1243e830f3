//! The diagnoses everybody reads: newest first, bounded.

use std::sync::{Arc, PoisonError, RwLock};

use super::text::describe;
use crate::data::{Diagnosis, DiagnosisUpdate, EventTime};

/// Which diagnoses are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// At most so many.
    pub limit: Option<usize>,
    /// Of this alert.
    pub fingerprint: Option<String>,
    /// About, or accusing, this service.
    pub service: Option<String>,
    /// Of alerts that began at or after this moment.
    pub since: Option<EventTime>,
}

/// Shared by the API and the pushers.
#[derive(Clone, Debug)]
pub struct Board {
    /// In order of arrival.
    diagnoses: Arc<RwLock<Vec<Diagnosis>>>,
    max: usize,
}

impl Board {
    /// A board of at most `max` diagnoses with those of the last run.
    pub fn new(max: usize, restored: Vec<Diagnosis>) -> Self {
        Self { diagnoses: Arc::new(RwLock::new(restored)), max }
    }

    /// Takes news in; returns the diagnosis as it stands now.
    pub fn apply(&self, update: DiagnosisUpdate) -> Option<Diagnosis> {
        let mut all = self.diagnoses.write().unwrap_or_else(PoisonError::into_inner);
        match update {
            DiagnosisUpdate::Changed(diagnosis) => {
                let mut diagnosis = *diagnosis;
                diagnosis.text = describe(&diagnosis);
                if let Some(place) = all.iter_mut().find(|d| d.id == diagnosis.id) {
                    // The alert may have been resolved while its diagnosis was under way.
                    if place.alert.ends_at.is_some() {
                        diagnosis.alert = place.alert.clone();
                    }
                    *place = diagnosis.clone();
                } else {
                    all.push(diagnosis.clone());
                    let excess = all.len().saturating_sub(self.max);
                    all.drain(..excess);
                }
                Some(diagnosis)
            }
            DiagnosisUpdate::Resolved { id, alert } => {
                let place = all.iter_mut().find(|d| d.id == id)?;
                place.alert = *alert;
                Some(place.clone())
            }
        }
    }

    /// The diagnosis of that id.
    pub fn get(&self, id: &str) -> Option<Diagnosis> {
        let all = self.diagnoses.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|d| d.id == id).cloned()
    }

    /// Diagnoses that match, newest alert first.
    pub fn list(&self, filter: &Filter) -> Vec<Diagnosis> {
        let all = self.diagnoses.read().unwrap_or_else(PoisonError::into_inner);
        let mut chosen: Vec<&Diagnosis> = all.iter().rev().filter(|d| filter.takes(d)).collect();
        // Stable: of alerts that began together, the one that came last stays first.
        chosen.sort_by_key(|d| std::cmp::Reverse(d.alert.key.starts_at));
        chosen.into_iter().take(filter.limit.unwrap_or(usize::MAX)).cloned().collect()
    }
}

impl Filter {
    fn takes(&self, d: &Diagnosis) -> bool {
        let about = |name: &String| {
            d.qos.as_ref().is_some_and(|q| q.service == *name)
                || d.root_causes.iter().any(|c| c.service == *name)
        };
        self.fingerprint.as_ref().is_none_or(|f| d.alert.key.fingerprint == *f)
            && self.service.as_ref().is_none_or(about)
            && self.since.is_none_or(|t| d.alert.key.starts_at >= t)
    }
}
