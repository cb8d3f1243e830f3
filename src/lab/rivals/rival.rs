//! What a compared system is, and the list of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::autoscale::Autoscale;
use super::baro::Baro;
use super::cause_infer::CauseInfer;
use super::microscope::Microscope;
use super::oracle::Oracle;
use super::rules::Rule;
use super::seer::Seer;
use crate::data::{EventTime, Frame, QosTarget, Resource};

/// Root causes, most suspected first; no resource: not a resource, or no opinion.
pub type Accused = Vec<(String, Option<Resource>)>;

/// Whom the labels of an interval name.
pub(super) type Labels<'a> = &'a [(String, Option<Resource>)];

/// What a compared system may learn from.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Frames of the training intervals, oldest first.
    pub frames: &'a [Arc<Frame>],
    /// Whether QoS was met in each.
    pub met: &'a [bool],
    /// Root causes by start of the interval, for supervised systems only: (service name, resource).
    pub labels: &'a BTreeMap<EventTime, Vec<(String, Option<Resource>)>>,
    /// What is asked of the application.
    pub target: &'a QosTarget,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

impl<'a> Past<'a> {
    /// The frames that met QoS; all of them when none did.
    pub(super) fn calm(&self) -> Vec<&'a Frame> {
        let frames = || self.frames.iter().map(|f| &**f);
        let calm: Vec<&Frame> =
            frames().zip(self.met).filter(|(_, met)| **met).map(|(f, _)| f).collect();
        if calm.is_empty() { frames().collect() } else { calm }
    }

    /// Frames of which is known who was to blame: nobody while QoS was met, and whom the labels
    /// name otherwise. A violation without a label is left out.
    pub(super) fn labelled(&self) -> Vec<(&'a Frame, Labels<'a>)> {
        let of = |(frame, met): (&'a Arc<Frame>, &bool)| {
            let to_blame = self.labels.get(&frame.interval.start).map(Vec::as_slice);
            let known = if *met { Some(&[][..]) } else { to_blame };
            Some((&**frame, known?))
        };
        self.frames.iter().zip(self.met).filter_map(of).collect()
    }
}

/// A compared system after learning.
pub trait Rival {
    /// As in the tables.
    fn name(&self) -> &'static str;
    /// Root causes of the violation in the last of `frames` (oldest first).
    fn accuse(&self, frames: &[Arc<Frame>]) -> Accused;
}

/// Every compared system, trained.
pub fn all(past: &Past<'_>) -> Vec<Box<dyn Rival>> {
    vec![
        Box::new(Autoscale::strict(past)),
        Box::new(Autoscale::relax(past)),
        Box::new(Oracle::learn(past)),
        Box::new(CauseInfer::learn(past)),
        Box::new(Microscope::learn(past)),
        Box::new(Seer::learn(past)),
        Box::new(Baro::new(past)),
        Box::new(Rule::metric(past)),
        Box::new(Rule::latency(past)),
        Box::new(Rule::own_time(past)),
    ]
}
