//! Level 2: which resource of a culprit (paper 4.2)? `None`: none that a metric shows.

use super::evidence::Evidence;
use super::inquiry::Inquiry;
use super::search::Search;
use crate::data::Resource;
use crate::graph::{Hypothesis, Query, Restore, What};

/// Resources of the server side, as [`Resource::ALL`] begins.
const SERVER: [Resource; 3] = [Resource::Cpu, Resource::Memory, Resource::Disk];
/// What another shortage may have dragged along counts less.
const EFFECT: f64 = 0.6;
/// A resource must explain this share of what the service's server side explains: where most remains that
/// no metric accounts for, it is not the resource.
const SHARE_MIN: f64 = 0.5;
/// A resource that explains less than this share by itself does nothing.
const SHARE_IDLE: f64 = 0.1;
/// Evidence of the service's own so strong that it counts although the model has not learnt its effect.
const STRONG: f64 = 12.0;
/// Robust z-score at which a metric of a service that is known to be a culprit is suspicious.
const SUSPICIOUS: f64 = 3.0;
/// A deviation this small, in units of what faults do, is no shortage to speak of.
const SLIGHT: f64 = 0.5;
/// The network must explain this share when nothing on the server side is abnormal.
const NETWORK_SHARE: f64 = 0.5;

/// Names the resource of culprit `j`; `others` are the other culprits, restored throughout.
pub(super) fn resource_of(
    inquiry: &Inquiry<'_>,
    search: &Search<'_>,
    evidence: &Evidence,
    j: usize,
    others: &[usize],
    hypothesis: Hypothesis,
    gate: f64,
) -> Option<Resource> {
    let z = evidence.resources[j];
    let network_z = z[Resource::Network.index()];
    let above = |limit: f64| -> Vec<Resource> {
        SERVER.into_iter().filter(|r| z[r.index()] > limit).collect()
    };
    // Weak evidence counts when there is no strong one.
    let accused = match above(gate) {
        strong if !strong.is_empty() => strong,
        _ => above(SUSPICIOUS),
    };
    let query = |whats: &[What]| {
        let mut query = search.query(others, hypothesis);
        for what in whats {
            let nets = match what {
                What::Network | What::All => evidence.nets[j].clone(),
                _ => Vec::new(),
            };
            query.restore.push(Restore { service: j, what: *what, nets });
        }
        query
    };
    let mut queries: Vec<Query> = vec![search.query(others, hypothesis)];
    queries.extend([What::Network, What::Server].map(|what| query(&[what])));
    // What a shortage drags along goes away with it.
    queries.extend(SERVER.map(|r| {
        let along = dragged_by(r).iter().filter(|d| accused.contains(d));
        query(&std::iter::once(&r).chain(along).map(|r| What::Resource(*r)).collect::<Vec<_>>())
    }));
    queries.extend(SERVER.map(|r| query(&[What::Resource(r)])));
    let answers = inquiry.ask(&queries);
    // How much latency goes away, beside what the other culprits account for.
    let drop: Vec<f64> =
        answers[1..].iter().map(|a| (answers[0].log_ms - a.log_ms).max(0.0)).collect();
    let (network, whole) = (drop[0], drop[1]);
    if accused.is_empty() {
        return (network_z > gate && network > NETWORK_SHARE * whole).then_some(Resource::Network);
    }
    // Delays between spans include waiting for a starved process at either end, so where nothing
    // else speaks for the network, a shortage at the service explains them.
    let is_measured = evidence.has_network_metrics[j];
    // Most of the time is lost between the spans, and what is short at the service is short by little.
    let size = |r: Resource| evidence.amplitudes[j][r.index()];
    let largest = accused.iter().map(|r| size(*r)).fold(0.0, f64::max);
    if network > whole && evidence.delays[j] > gate && largest < SLIGHT {
        return Some(Resource::Network);
    }
    let is_louder = || network_z > loudest(&accused, &z) || size(Resource::Network) > largest;
    if is_measured && network > whole && network_z > gate && is_louder() {
        return Some(Resource::Network);
    }
    // Which of several it is, the size of the deviation tells: one shortage drags other metrics
    // along, paging reads from disk and stalls the processor, but none as far as its own.
    let amplitude = |r: &Resource| {
        let is_dragged = *r == Resource::Cpu || accused.iter().any(|a| dragged_by(*a).contains(r));
        let discount = if is_dragged { EFFECT } else { 1.0 };
        discount * size(*r)
    };
    let explained = whole.max(network);
    // Reads can rise from nothing to anything; memory that is short beside them says why.
    let is_paging = accused.contains(&Resource::Memory) && size(Resource::Memory) >= SLIGHT;
    let alone = |r: Resource| drop[2 + SERVER.len() + r.index()];
    // What does nothing by itself, beside something it could have dragged along that does nearly all, has
    // dragged nothing.
    let is_idle = |r: Resource| {
        let does_it = |d: &Resource| accused.contains(d) && alone(*d) >= SHARE_MIN * explained;
        alone(r) < SHARE_IDLE * explained && dragged_by(r).iter().any(does_it)
    };
    // A processor that has both more effect by itself and more evidence was not dragged along. Reads say nothing
    // like it: they rise from nothing to anything.
    let cpu = Resource::Cpu;
    let is_beaten = |r: Resource| {
        let beats = alone(cpu) > alone(r) && EFFECT * z[cpu.index()] > z[r.index()];
        beats && accused.contains(&cpu) && dragged_by(r).contains(&cpu)
    };
    let effective = accused.iter().filter(|r| {
        let relief = drop[2 + r.index()];
        let is_symptom = **r == Resource::Disk && is_paging;
        let is_other = is_symptom || is_idle(**r) || is_beaten(**r);
        relief > 0.0 && relief >= SHARE_MIN * explained && !is_other
    });
    if let Some(best) = effective.max_by(|a, b| amplitude(a).total_cmp(&amplitude(b))) {
        return Some(*best);
    }
    if !is_measured && network_z > gate && network > whole {
        let largest = accused.iter().copied().max_by(|a, b| amplitude(a).total_cmp(&amplitude(b)));
        return largest;
    }
    let loudest = accused.into_iter().max_by(|a, b| z[a.index()].total_cmp(&z[b.index()]))?;
    (z[loudest.index()] > STRONG && !evidence.by_host[j]).then_some(loudest)
}

/// Paging and disk stalls raise processor use, paging is reading from disk, and none of it the other way
/// round.
fn dragged_by(resource: Resource) -> &'static [Resource] {
    match resource {
        Resource::Memory => &[Resource::Disk, Resource::Cpu],
        Resource::Disk => &[Resource::Cpu],
        Resource::Cpu | Resource::Network => &[],
    }
}

fn loudest(resources: &[Resource], z: &[f64; 4]) -> f64 {
    resources.iter().map(|r| z[r.index()]).fold(0.0, f64::max)
}
