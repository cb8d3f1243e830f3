//! The diagnoses everybody reads: newest first, bounded in number and in bytes.

use std::sync::{Arc, PoisonError, RwLock};

use super::metrics::Metrics;
use super::text::describe;
use crate::data::{AlertStatus, Diagnosis, DiagnosisUpdate, EventTime};

/// The note under which a diagnosis tells what is done about it.
pub(super) const FIX_NOTE: &str = "fix";

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

/// How much a board holds.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Diagnoses.
    pub diagnoses: usize,
    /// What all together may take in memory, about.
    pub bytes: usize,
}

/// Shared by the API and the pushers.
#[derive(Clone, Debug)]
pub struct Board {
    /// In order of arrival.
    diagnoses: Arc<RwLock<Vec<Diagnosis>>>,
    room: Room,
    metrics: Metrics,
}

impl Board {
    /// A board with the diagnoses of the last run, as far as there is room.
    pub fn new(room: Room, mut restored: Vec<Diagnosis>, metrics: Metrics) -> Self {
        fit(&mut restored, room, &metrics);
        Self { diagnoses: Arc::new(RwLock::new(restored)), room, metrics }
    }

    /// Takes news in; returns the diagnosis as it stands now, or nothing when it stood so before.
    pub fn apply(&self, update: DiagnosisUpdate) -> Option<Diagnosis> {
        let mut all = self.diagnoses.write().unwrap_or_else(PoisonError::into_inner);
        let news = take(&mut all, update);
        if news.is_some() {
            fit(&mut all, self.room, &self.metrics);
        }
        news
    }
    /// Ids in order of arrival.
    pub(super) fn ids(&self) -> Vec<String> {
        let all = self.diagnoses.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|d| d.id.clone()).collect()
    }

    /// The diagnosis of that id.
    pub fn get(&self, id: &str) -> Option<Diagnosis> {
        let all = self.diagnoses.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|d| d.id == id).cloned()
    }

    /// Diagnoses whose alerts fire.
    pub(super) fn firing(&self) -> Vec<Diagnosis> {
        let all = self.diagnoses.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|d| d.alert.status == AlertStatus::Firing).cloned().collect()
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

/// Takes news in; returns the diagnosis as it stands now, or nothing when it stood so before.
fn take(all: &mut Vec<Diagnosis>, update: DiagnosisUpdate) -> Option<Diagnosis> {
    match update {
        DiagnosisUpdate::Changed(diagnosis) => {
            let mut diagnosis = *diagnosis;
            diagnosis.text = describe(&diagnosis);
            let Some(place) = all.iter_mut().find(|d| d.id == diagnosis.id) else {
                all.push(diagnosis.clone());
                return Some(diagnosis);
            };
            // The alert may have been resolved while its diagnosis was under way.
            if place.alert.status == AlertStatus::Resolved {
                diagnosis.alert = place.alert.clone();
            }
            // A second look knows nothing of what was done after the first.
            if let Some(text) = place.notes.get(FIX_NOTE) {
                diagnosis.notes.insert(FIX_NOTE.into(), text.clone());
            }
            // What was shortened stays so, or every second look would be news.
            if place.is_short() {
                diagnosis.shorten();
            }
            if is_same(&diagnosis, place) {
                return None;
            }
            *place = diagnosis.clone();
            Some(diagnosis)
        }
        DiagnosisUpdate::Resolved { id, alert } => {
            let place = all.iter_mut().find(|d| d.id == id).filter(|d| d.alert != *alert)?;
            place.alert = *alert;
            Some(place.clone())
        }
        DiagnosisUpdate::Acted { id, text } => {
            let place = all.iter_mut().find(|d| d.id == id)?;
            let before = place.notes.insert(FIX_NOTE.into(), text.clone());
            (before != Some(text)).then(|| place.clone())
        }
    }
}

/// Makes everything fit: those that came first are shortened, then forgotten. The last one stays as it is.
fn fit(all: &mut Vec<Diagnosis>, room: Room, metrics: &Metrics) {
    all.drain(..all.len().saturating_sub(room.diagnoses));
    let mut sizes: Vec<usize> = all.iter().map(Diagnosis::held_bytes).collect();
    let mut bytes: usize = sizes.iter().sum();
    let before_last = all.len().saturating_sub(1);
    for (one, size) in all[..before_last].iter_mut().zip(&mut sizes) {
        if bytes > room.bytes && !one.is_short() {
            one.shorten();
            let short = one.held_bytes();
            bytes = bytes - *size + short;
            *size = short;
            metrics.shortened.inc();
        }
    }
    let mut gone = 0;
    while bytes > room.bytes && gone < before_last {
        bytes -= sizes[gone];
        gone += 1;
    }
    all.drain(..gone);
    metrics.forgotten.inc_by(gone as u64);
    metrics.bytes.set(bytes as i64);
}

/// Whether a second look has found the same. How long it took is no news.
fn is_same(new: &Diagnosis, old: &Diagnosis) -> bool {
    Diagnosis { took_ms: old.took_ms, ..new.clone() } == *old
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Alert, AlertKey, DiagnosisState, Outcome, ServiceScore};

    fn board() -> Board {
        Board::new(Room { diagnoses: 10, bytes: 1 << 20 }, Vec::new(), Metrics::default())
    }

    fn alert(status: AlertStatus) -> Alert {
        Alert {
            key: AlertKey { fingerprint: "f".into(), starts_at: EventTime(0) },
            status,
            labels: Default::default(),
            annotations: Default::default(),
            ends_at: None,
        }
    }

    fn changed(outcome: Outcome, took_ms: f64) -> DiagnosisUpdate {
        DiagnosisUpdate::Changed(Box::new(diagnosis(outcome, took_ms)))
    }

    fn diagnosis(outcome: Outcome, took_ms: f64) -> Diagnosis {
        Diagnosis {
            id: "f-0".into(),
            state: DiagnosisState::Done,
            outcome: Some(outcome),
            alert: alert(AlertStatus::Firing),
            interval: None,
            qos: None,
            root_causes: Vec::new(),
            services: Vec::new(),
            path: Vec::new(),
            robust_baseline: Vec::new(),
            graph_completeness: 1.0,
            model: None,
            took_ms,
            text: String::new(),
            error: None,
            notes: Default::default(),
        }
    }

    /// A diagnosis of an application of a thousand services.
    fn large(id: usize) -> Diagnosis {
        let score = |n: usize| ServiceScore {
            service: format!("service-{n}"),
            counterfactual_ms: 1.0,
            probability: 0.0,
            abnormality: 0.0,
        };
        let services = (0..1000).map(score).collect();
        Diagnosis { id: id.to_string(), services, ..diagnosis(Outcome::RootCause, 1.0) }
    }

    fn in_board(board: &Board) -> Vec<(String, bool)> {
        board.ids().into_iter().map(|id| (id.clone(), board.get(&id).unwrap().is_short())).collect()
    }

    #[test]
    fn what_came_first_is_shortened_and_then_forgotten_when_bytes_run_out() {
        let (whole, metrics) = (large(0).held_bytes(), Metrics::default());
        assert!(whole > 40_000, "{whole}");
        let room = Room { diagnoses: 10, bytes: 2 * whole + whole / 2 };
        let board = Board::new(room, (0..3).map(large).collect(), metrics.clone());
        let named = |all: &[(&str, bool)]| -> Vec<(String, bool)> {
            all.iter().map(|(id, is_short)| (id.to_string(), *is_short)).collect()
        };
        assert_eq!(in_board(&board), named(&[("0", true), ("1", false), ("2", false)]));
        board.apply(DiagnosisUpdate::Changed(Box::new(large(3))));
        assert_eq!(in_board(&board)[..2], named(&[("0", true), ("1", true)]));
        assert_eq!((metrics.shortened.get(), metrics.forgotten.get()), (2, 0));
        assert!(metrics.bytes.get() as usize <= room.bytes);
        // The last one stays whole, whatever it takes.
        let tight = Room { diagnoses: 10, bytes: whole / 2 };
        let board = Board::new(tight, (0..3).map(large).collect(), metrics.clone());
        assert_eq!(in_board(&board), named(&[("2", false)]));
        assert_eq!(metrics.forgotten.get(), 2);
    }

    #[test]
    fn the_same_answer_again_is_no_news() {
        let board = board();
        assert!(board.apply(changed(Outcome::NoModel, 1.0)).is_some());
        assert!(board.apply(changed(Outcome::NoModel, 2.0)).is_none());
        assert!(board.apply(changed(Outcome::QosMet, 2.0)).is_some());
    }

    #[test]
    fn what_is_done_about_a_diagnosis_outlives_a_second_look() {
        let board = board();
        board.apply(changed(Outcome::NoModel, 1.0));
        let acted = || DiagnosisUpdate::Acted { id: "f-0".into(), text: "watching".into() };
        assert!(board.apply(acted()).is_some());
        assert!(board.apply(acted()).is_none());
        assert!(board.apply(changed(Outcome::NoModel, 2.0)).is_none());
        board.apply(changed(Outcome::QosMet, 1.0));
        assert_eq!(board.get("f-0").unwrap().notes[FIX_NOTE], "watching");
    }

    #[test]
    fn an_answer_that_was_under_way_at_the_resolve_does_not_undo_it() {
        let board = board();
        board.apply(changed(Outcome::NoModel, 1.0));
        let resolved = || DiagnosisUpdate::Resolved {
            id: "f-0".into(),
            alert: Box::new(alert(AlertStatus::Resolved)),
        };
        assert!(board.apply(resolved()).is_some());
        assert!(board.apply(resolved()).is_none());
        board.apply(changed(Outcome::QosMet, 1.0));
        assert_eq!(board.get("f-0").unwrap().alert.status, AlertStatus::Resolved);
    }
}
