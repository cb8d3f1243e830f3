//! Which metrics are causes? (Rule 1 of paper 3.3.1: metrics have no causes inside the model.)
//!
//! Usage metrics break the rule: when a callee is slow, its callers hold more requests, and with
//! them more memory and processor time. Such a metric points at every tier above a culprit. It gives
//! itself away: it is abnormal far more often while a tier *below* the service is in trouble than
//! while all is calm. Metrics that pass are causes; a resource of which no metric passes keeps the
//! ones that fail least, because some evidence is better than none.
//!
//! A host in trouble strikes all its services at once, callers and callees alike. Where both run on one
//! host, and its metrics say that it is short of something, nothing can be said about metrics of that.

use std::collections::BTreeSet;

use ndarray::{Array2, Array3, Axis};

use super::features::Feature;
use crate::data::{Frame, Name, Resource, Scope};
use crate::graph::CausalNet;

/// A metric this many robust deviations from normal counts as abnormal.
const ABNORMAL: f64 = 5.0;
/// A tier is in trouble when the time its requests take together exceeds e^2 times the normal.
const HOT: f64 = 2.0;
/// How much more often than in calm a cause may be abnormal under trouble below: faults coincide.
const LIFT: (f64, f64) = (2.0, 0.05);
/// Standard deviations of a share by which it must exceed what is allowed: one metric in a hundred is
/// dropped by chance. Of thirty cells two say nothing.
const DOUBT: f64 = 2.33;
/// Troubled cells needed to judge at all.
const CELLS_MIN: usize = 30;

/// What the screen looks at.
#[derive(Debug)]
pub(super) struct Cells {
    /// Robust z-scores, `[service, feature, frame]`.
    scores: Array3<f64>,
    /// `[service, frame]`: in trouble, and so is a tier below.
    pressed: Array2<bool>,
    /// `[service, frame]`: a tier below that is in trouble has a host in common with the service.
    beside: Array2<bool>,
    /// `[service, frame]`: not in trouble itself, in a frame that met QoS.
    calm: Array2<bool>,
}

impl Cells {
    /// Finds the troubled and the calm cells. `heat`: ln of the work in flight relative to normal,
    /// `[service, frame]`.
    pub(super) fn new(
        scores: Array3<f64>,
        heat: &Array2<f64>,
        net: &CausalNet,
        hosts: &[BTreeSet<Name>],
        met: &[bool],
    ) -> Self {
        let above = net.callers_of();
        let shape = heat.dim();
        let below: Vec<Vec<usize>> = (0..shape.0)
            .map(|j| (0..shape.0).filter(|k| *k != j && above[*k][j] && !above[j][*k]).collect())
            .collect();
        let hot_below = |j: usize, t: usize, counts: &dyn Fn(usize) -> bool| {
            heat[[j, t]] > HOT && below[j].iter().any(|k| heat[[*k, t]] > HOT && counts(*k))
        };
        let is_beside = |j: usize, k: usize| !hosts[j].is_disjoint(&hosts[k]);
        Self {
            scores,
            pressed: Array2::from_shape_fn(shape, |(j, t)| hot_below(j, t, &|_| true)),
            beside: Array2::from_shape_fn(shape, |(j, t)| hot_below(j, t, &|k| is_beside(j, k))),
            calm: Array2::from_shape_fn(shape, |(j, t)| met[t] && heat[[j, t]] < HOT / 2.0),
        }
    }

    /// Whether feature `f` is ever abnormal.
    fn moves(&self, f: usize) -> bool {
        self.scores.index_axis(Axis(1), f).iter().any(|z| *z > ABNORMAL)
    }

    /// Cells under trouble below that tell causes from effects; `of_hosts` are what hosts say about the
    /// same resource.
    fn telling(&self, of_hosts: &[usize]) -> Array2<bool> {
        Array2::from_shape_fn(self.pressed.dim(), |(j, t)| {
            let is_short = || of_hosts.iter().any(|f| self.scores[[j, *f, t]] > ABNORMAL);
            self.pressed[[j, t]] && !(self.beside[[j, t]] && is_short())
        })
    }

    /// Share of the chosen cells in which feature `f` is abnormal, and how many there are.
    fn share(&self, f: usize, chosen: &Array2<bool>) -> (f64, usize) {
        let (mut abnormal, mut all) = (0usize, 0usize);
        for ((j, t), is_chosen) in chosen.indexed_iter() {
            let z = self.scores[[j, f, t]];
            if *is_chosen && z.is_finite() {
                all += 1;
                abnormal += usize::from(z > ABNORMAL);
            }
        }
        (abnormal as f64 / all.max(1) as f64, all)
    }
}

/// The hosts each service was seen on.
pub(super) fn hosts(frames: &[&Frame], net: &CausalNet) -> Vec<BTreeSet<Name>> {
    let mut hosts = vec![BTreeSet::new(); net.services.len()];
    for frame in frames {
        for (service, seen) in net.services.iter().zip(&mut hosts) {
            for replica in frame.service(service).iter().flat_map(|w| &w.replicas) {
                if !replica.node.is_empty() && !seen.contains(&replica.node) {
                    seen.insert(replica.node.clone());
                }
            }
        }
    }
    hosts
}

/// Marks the features that are causes.
pub(super) fn screen(features: &mut [Feature], cells: &Cells) {
    for resource in Resource::ALL {
        let members: Vec<usize> =
            (0..features.len()).filter(|f| features[*f].resource == resource).collect();
        let is_of_host = |f: &usize| features[*f].scope == Scope::Node;
        let of_hosts: Vec<usize> = members.iter().copied().filter(is_of_host).collect();
        let telling = cells.telling(&of_hosts);
        // How far each one exceeds what coincidence allows; nothing to say with too few cells.
        let excess: Vec<Option<f64>> = members
            .iter()
            .map(|f| {
                let (pressed, count) = cells.share(*f, &telling);
                let (calm, _) = cells.share(*f, &cells.calm);
                let allowed = LIFT.0 * calm + LIFT.1;
                let doubt = DOUBT * (allowed * (1.0 - allowed).max(0.0) / count as f64).sqrt();
                (count >= CELLS_MIN).then_some(pressed - (allowed + doubt))
            })
            .collect();
        let least = excess.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let passes: Vec<bool> =
            excess.iter().map(|e| e.is_none_or(|e| e <= least.max(0.0))).collect();
        for (f, passes) in members.iter().zip(passes) {
            (features[*f].kept, features[*f].moves) = (passes, cells.moves(*f));
        }
    }
}
