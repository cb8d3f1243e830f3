//! The policies that are compared, side by side on the same intervals.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::outcome::{PolicyName, Training};
use crate::data::Frame;
use crate::graph::{CausalNet, RpcGraph};
use crate::model::{self, Changes, Error, Lesson, Model, Policy, Reach, Update, Work, retrain};

/// A clock: seconds of wall time.
pub(super) type Clock<'a> = &'a dyn Fn() -> f64;

/// One model for each policy, all of them the same before the first update.
pub(super) struct Contest {
    config: model::Config,
    compared: &'static [PolicyName],
    policy: Policy,
    /// The models of [`PolicyName::ALL`].
    models: [Option<Arc<Model>>; 4],
    /// Begin of the update.
    since: i64,
}

impl Contest {
    pub(super) fn new(
        first: Model,
        config: model::Config,
        compared: &'static [PolicyName],
    ) -> Self {
        let first = Arc::new(first);
        let models = std::array::from_fn(|_| Some(first.clone()));
        Self { config, compared, policy: Policy::default(), models, since: 0 }
    }

    /// The model of a policy, if it has one.
    pub(super) fn model(&self, policy: PolicyName) -> Option<&Model> {
        self.models[policy as usize].as_deref()
    }

    /// An update is rolled out: whoever starts from scratch has nothing to start from.
    pub(super) fn updated(&mut self, now: i64) {
        self.since = now;
        self.models[PolicyName::Scratch as usize] = None;
    }

    /// Retrains whoever has a reason to, after one more interval.
    pub(super) fn advance(
        &mut self,
        (frames, met): (&[Arc<Frame>], &[bool]),
        clock: Clock<'_>,
    ) -> Vec<Training> {
        let plain: Vec<&Frame> = frames.iter().map(|f| &**f).collect();
        let current = self.models[PolicyName::Partial as usize].clone();
        let Some(current) = current else { return Vec::new() };
        let Some(work) = self.policy.observe(&current, &plain, met) else { return Vec::new() };
        let from = plain.partition_point(|f| f.interval.start.0 < self.since);
        let Work { base, changes } = work;
        let mut done = Vec::new();
        for (policy, reach) in
            [(PolicyName::Partial, Reach::Partial), (PolicyName::Incremental, Reach::Everything)]
        {
            if !self.compared.contains(&policy) {
                continue;
            }
            let update = Update { frames: &plain, met, changes: &changes };
            let begun = clock();
            let result =
                retrain(&base, &update, (&self.config, reach), &|_| {}, &AtomicBool::new(false));
            done.push(self.settle(policy, result, &changes, clock() - begun));
        }
        if !self.compared.contains(&PolicyName::Scratch) {
            return done;
        }
        let begun = clock();
        let result = scratch(&plain[from..], &met[from..], &self.config);
        done.push(self.settle(PolicyName::Scratch, result, &changes, clock() - begun));
        done
    }

    fn settle(
        &mut self,
        policy: PolicyName,
        result: Result<Model, Error>,
        changes: &Changes,
        seconds: f64,
    ) -> Training {
        let (mut services, mut refused) = ((0, 0), None);
        match result {
            Ok(model) => {
                let trained = if policy == PolicyName::Partial {
                    model.trained_services
                } else {
                    model.net.services.len()
                };
                services = (trained, model.net.services.len());
                self.models[policy as usize] = Some(Arc::new(model));
            }
            Err(error) => refused = Some(error.to_string()),
        }
        let reason = changes.reason();
        Training { update: "", intervals: 0, policy, seconds, services, reason, refused }
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
