//! When to bring a model up to date after a change, and with what (paper 4.4).
//!
//! In: every closed interval. Out: [`Work`] when there is some. The first partial retraining follows a
//! change within a few intervals; it is done again, from the same old model, while the data since the
//! change doubles a few times. Pure: time comes in with the frames.

use std::sync::Arc;

use super::change::{Changes, detect, has_passed, is_trouble};
use super::predict::Model;
use crate::data::{EventTime, Frame};

/// Intervals since a change after which a model is partly retrained.
const SCHEDULE: [usize; 5] = [2, 5, 10, 20, 40];
/// Newest intervals that are looked at for a change.
const LOOK_BACK: usize = 20;
/// Changes that begin this few intervals apart are one.
const SAME: usize = 10;
/// Intervals since a change for which more traces are worth their cost: from here on the model is retrained
/// once more, and one interval more or less hardly matters to it.
const CONVERGED: usize = 20;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Work {
    /// The model from before the change.
    pub base: Arc<Model>,
    /// What has changed.
    pub changes: Changes,
}

/// What comes next.
#[derive(Clone, Debug)]
pub enum Next {
    /// A partial retraining.
    Retrain(Work),
    /// What seemed to be a change has passed, and the model from before it knows best.
    Restore(Arc<Model>),
}

/// Follows an application through its changes.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    open: Option<Open>,
    /// Changes of late that may yet turn out to have been disturbances, oldest first.
    doubtful: Vec<Work>,
}

/// A change the model is being fitted to.
#[derive(Clone, Debug)]
struct Open {
    work: Work,
    /// Intervals since the change at which it is retrained next.
    next: usize,
}

impl Policy {
    /// Goes on with a change that an earlier run was following, and for which `model` was the newest
    /// training. `frames` are in order.
    pub fn resumed(work: Work, model: &Model, frames: &[&Frame]) -> Self {
        let until = frames.partition_point(|f| f.interval.end <= model.trained_at);
        let count = since_count(&frames[..until], work.changes.since);
        let next = SCHEDULE.into_iter().find(|n| *n > count);
        let doubtful = vec![work.clone()];
        Self { open: next.map(|next| Open { work, next }), doubtful }
    }

    /// The change that is being followed.
    pub fn following(&self) -> Option<&Work> {
        self.open.as_ref().map(|open| &open.work)
    }

    /// Looks at the newest of `frames`, which are in order; `met[t]`: QoS was met in frame `t`. `model`
    /// is the one in use.
    pub fn observe(&mut self, model: &Arc<Model>, frames: &[&Frame], met: &[bool]) -> Option<Next> {
        if let Some(base) = self.passed(model, frames, met) {
            return (!Arc::ptr_eq(&base, model)).then_some(Next::Restore(base));
        }
        let since = self
            .open
            .as_ref()
            .map_or_else(|| model.newest_change(), |open| Some(open.work.changes.since));
        let from = frames.partition_point(|f| since.is_some_and(|s| f.interval.start < s));
        let from = from.max(frames.len().saturating_sub(LOOK_BACK));
        let found = detect(model, &frames[from..], &met[from..]);
        if !found.is_empty() && !is_trouble(&found, frames, met) {
            self.note(found, model, frames);
        }
        let open = self.open.as_mut()?;
        let count = since_count(frames, open.work.changes.since);
        if count < open.next {
            return None;
        }
        let work = open.work.clone();
        match SCHEDULE.into_iter().find(|n| *n > count) {
            Some(next) => open.next = next,
            None => self.open = None,
        }
        Some(Next::Retrain(work))
    }

    /// The model from before a change that has passed, or turned out to be trouble, with all that came after it. Changes that began before the
    /// first of `frames`, or that all of the model knows, are no longer in doubt.
    fn passed(
        &mut self,
        model: &Arc<Model>,
        frames: &[&Frame],
        met: &[bool],
    ) -> Option<Arc<Model>> {
        let is_base = |work: &Work| Arc::ptr_eq(&work.base, model);
        let is_whole = model.trained_services == model.net.services.len();
        if is_whole && !self.doubtful.iter().any(is_base) {
            self.doubtful.clear();
        }
        let oldest = frames.first()?.interval.start;
        self.doubtful.retain(|work| oldest <= work.changes.since);
        let is_over = |Work { base, changes }: &Work| {
            has_passed(base, changes, frames, met) || is_trouble(changes, frames, met)
        };
        let at = self.doubtful.iter().rposition(is_over)?;
        let base = self.doubtful[at].base.clone();
        self.doubtful.truncate(at);
        self.open = None;
        Some(base)
    }

    fn note(&mut self, found: Changes, model: &Arc<Model>, frames: &[&Frame]) {
        if let Some(open) = &mut self.open {
            let changes = &mut open.work.changes;
            let (a, b) = (changes.since.min(found.since), changes.since.max(found.since));
            let between = frames.iter().filter(|f| (a..b).contains(&f.interval.start)).count();
            if between <= SAME {
                let before = changes.clone();
                changes.merge(found);
                if *changes != before {
                    // Something was not known the last time.
                    open.next = SCHEDULE[0];
                    self.doubtful.pop();
                    self.doubtful.push(open.work.clone());
                }
                return;
            }
        }
        let work = Work { base: model.clone(), changes: found };
        self.doubtful.push(work.clone());
        self.open = Some(Open { work, next: SCHEDULE[0] });
    }

    /// The change the model has not converged on yet: what, and until when more traces help; `length` is
    /// that of an interval, milliseconds.
    pub fn converging(&self, newest: EventTime, length: i64) -> Option<(String, EventTime)> {
        let changes = &self.open.as_ref()?.work.changes;
        let until = EventTime(changes.since.0 + CONVERGED as i64 * length);
        (newest < until).then(|| (changes.reason(), until))
    }

    /// Whether a change is being followed.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

/// Frames from `since` on.
fn since_count(frames: &[&Frame], since: EventTime) -> usize {
    frames.len() - frames.partition_point(|f| f.interval.start < since)
}
