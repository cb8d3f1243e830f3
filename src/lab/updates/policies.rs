//! The policies that are compared, side by side on the same intervals.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::outcome::{PolicyName, Training};
use super::shelf::{Shelf, Shelved};
use crate::data::{EventTime, Frame};
use crate::graph::{CausalNet, RpcGraph};
use crate::model::{
    self, Changes, Error, Kept, Lesson, Model, Next, Policy, Reach, Update, Work, retrain,
};

/// A clock: seconds of wall time.
pub(super) type Clock<'a> = &'a dyn Fn() -> f64;

/// One model for each policy, all of them the same before the first update.
pub(super) struct Contest {
    config: model::Config,
    /// Says when; it follows the model of partial retraining, as the product does.
    policy: Policy,
    first: Arc<Model>,
    scratch: Option<Arc<Model>>,
    incremental: Arc<Model>,
    /// What incremental retraining starts from: its model of before the change.
    incremental_base: Arc<Model>,
    partial: Arc<Model>,
    /// Begin of the update.
    since: i64,
}

impl Contest {
    /// An update is rolled out at `since`. Everybody has what is on the `shelf`; but whoever starts from
    /// scratch has nothing to start from.
    pub(super) fn new(
        (first, shelf): (Arc<Model>, &Shelf),
        config: model::Config,
        frames: &[Arc<Frame>],
        since: i64,
    ) -> Result<Self, String> {
        let Kept { model: partial, following } = shelf.partial.open()?;
        let plain: Vec<&Frame> = frames.iter().map(|f| &**f).collect();
        let policy =
            following.map_or_else(Policy::default, |work| Policy::resumed(work, &partial, &plain));
        Ok(Self {
            config,
            policy,
            first,
            scratch: None,
            incremental: shelf.incremental.open()?.model,
            incremental_base: shelf.incremental_base.open()?.model,
            partial,
            since,
        })
    }

    /// What the next update begins with.
    pub(super) fn shelf(&self) -> Result<Shelf, String> {
        let following = self.policy.following().cloned();
        Ok(Shelf {
            incremental: Shelved::of(&self.incremental)?,
            incremental_base: Shelved::of(&self.incremental_base)?,
            partial: Shelved::new(&Kept { model: self.partial.clone(), following })?,
        })
    }

    /// The change that is being followed: since when, and what it is.
    pub(super) fn following(&self) -> Option<(EventTime, String)> {
        self.policy.following().map(|work| (work.changes.since, work.changes.reason()))
    }

    /// The model of a policy, if it has one.
    pub(super) fn model(&self, policy: PolicyName) -> Option<&Model> {
        match policy {
            PolicyName::None => Some(&self.first),
            PolicyName::Scratch => self.scratch.as_deref(),
            PolicyName::Incremental => Some(&self.incremental),
            PolicyName::Partial => Some(&self.partial),
        }
    }

    /// Retrains whoever has a reason to, after one more interval. `compared`: also those that partial
    /// retraining is compared with.
    pub(super) fn advance(
        &mut self,
        (frames, met): (&[Arc<Frame>], &[bool]),
        compared: bool,
        clock: Clock<'_>,
    ) -> Vec<Training> {
        let plain: Vec<&Frame> = frames.iter().map(|f| &**f).collect();
        let was = self.policy.following().map(|work| work.changes.since);
        let work = self.policy.observe(&self.partial, &plain, met);
        if self.policy.following().map(|work| work.changes.since) != was {
            self.incremental_base = self.incremental.clone();
        }
        let Work { base, changes } = match work {
            Some(Next::Retrain(work)) => work,
            Some(Next::Restore(before)) => {
                self.partial = before;
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let update = Update { frames: &plain, met, changes: &changes };
        let mut done = Vec::new();
        let mut timed = |policy, train: &dyn Fn() -> Result<Model, Error>| {
            let begun = clock();
            let result = train().map(Arc::new);
            done.push(told(policy, &result, &changes, clock() - begun));
            result.ok()
        };
        let again = |base: &Model, reach| {
            retrain(base, &update, (&self.config, reach), &|_| {}, &AtomicBool::new(false))
        };
        if let Some(new) = timed(PolicyName::Partial, &|| again(&base, Reach::Partial)) {
            self.partial = new;
        }
        if compared {
            let everything = || again(&self.incremental_base, Reach::Everything);
            if let Some(new) = timed(PolicyName::Incremental, &everything) {
                self.incremental = new;
            }
            let from = plain.partition_point(|f| f.interval.start.0 < self.since);
            let anew = || scratch(&plain[from..], &met[from..], &self.config);
            if let Some(new) = timed(PolicyName::Scratch, &anew) {
                self.scratch = Some(new);
            }
        }
        done
    }
}

fn told(
    policy: PolicyName,
    result: &Result<Arc<Model>, Error>,
    changes: &Changes,
    seconds: f64,
) -> Training {
    let services = |model: &Arc<Model>| {
        let all = model.net.services.len();
        (if policy == PolicyName::Partial { model.trained_services } else { all }, all)
    };
    Training {
        intervals: 0,
        policy,
        seconds,
        services: result.as_ref().map_or((0, 0), services),
        reason: changes.reason(),
        refused: result.as_ref().err().map(ToString::to_string),
    }
}

/// A new model from these frames and nothing else.
pub(super) fn scratch(
    frames: &[&Frame],
    met: &[bool],
    config: &model::Config,
) -> Result<Model, Error> {
    let graph = RpcGraph::learn(frames.iter().copied(), &crate::graph::Config::default());
    let net = CausalNet::new(&graph);
    let lesson = Lesson { frames, met, net: &net };
    model::fit(&lesson, config, &|_| {}, &AtomicBool::new(false))
}
