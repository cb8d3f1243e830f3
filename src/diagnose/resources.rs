//! Level 2: which resource of a culprit (paper 4.2)? `None`: none that a metric shows.

use super::evidence::{Evidence, SLIGHT};
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
/// Reads and writes at less than this share of the most that the service has shown are a remnant: of trouble that ended
/// before the interval, the first scrape in it still tells.
const REMNANT: f64 = 1.0 / 6.0;
/// Log units by which a culprit's use of processors must be beyond all that calm has shown.
const BUSY: f64 = 0.1;
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
    let above = |limit: f64| -> Vec<Resource> {
        SERVER.into_iter().filter(|r| z[r.index()] > limit).collect()
    };
    // Weak evidence counts when there is no strong one.
    let accused = match above(gate) {
        strong if !strong.is_empty() => strong,
        _ => above(SUSPICIOUS),
    };
    let base = search.query(others, hypothesis);
    let relief = Relief::ask(inquiry, &base, &evidence.nets[j], j, &accused);
    let (size, stall, limit) = (evidence.amplitudes[j], evidence.stalls[j], evidence.limits[j]);
    let shortage = Shortage { z, size, stall, limit, accused, relief, gate };
    let network_z = z[Resource::Network.index()];
    // Who is slow by itself and computes more than ever, computes for too long; who waits does not compute.
    let busy = || (evidence.busy[j] > BUSY).then_some(Resource::Cpu);
    let is_measured = evidence.has_network_metrics[j];
    let apart = loudest(&evidence.apart[j]).filter(|r| evidence.apart[j][r.index()] > gate);
    let shifted = || evidence.shifted[j].then_some(Resource::Network);
    if shortage.accused.is_empty() {
        let does_it = shortage.relief.network > NETWORK_SHARE * shortage.relief.server;
        // Its metrics and the delays of its links say the same; what else the delays have caused, the model may take
        // for the service's own.
        let does_something = shortage.relief.network > SHARE_IDLE * shortage.relief.server;
        let is_twofold = is_measured && evidence.delays[j] > gate && does_something;
        // A link that is too narrow loses nothing that a metric would count: all of it waits.
        let is_late = evidence.late[j] > gate && shortage.relief.network > shortage.relief.server;
        let is_network = match network_z {
            _ if is_late => true,
            z if z > gate => does_it || evidence.dark[j] || is_twofold,
            // Weak evidence counts when there is no strong one, of what its link alone could tell from a bug.
            z => z > SUSPICIOUS && shortage.size(Resource::Network) >= SLIGHT && evidence.dark[j],
        };
        return is_network.then_some(Resource::Network).or(apart).or_else(busy).or_else(shifted);
    }
    if shortage.is_network(is_measured, evidence.delays[j]) {
        return Some(Resource::Network);
    }
    if let Some(best) = shortage.largest(shortage.effective()) {
        // What slow and fast replicas have alike is not why the slow ones are.
        let is_alike = apart.is_some() && evidence.apart[j][best.index()] <= 0.0;
        return if is_alike { apart } else { Some(best) };
    }
    if apart.is_some() {
        return apart;
    }
    // It has struck everybody there, so it need not have been seen before for its effect to be believed.
    if let Some(everybodys) = evidence.shared_by_host(j) {
        return Some(everybodys);
    }
    let is_there = |r: &Resource| *r != Resource::Disk || evidence.shares[j][r.index()] >= REMNANT;
    if !is_measured && network_z > gate && shortage.relief.network > shortage.relief.server {
        let there = shortage.accused.iter().copied().filter(|r| is_there(r));
        return shortage.largest(there).or(Some(Resource::Network));
    }
    let strong = loudest(&z).filter(|r| z[r.index()] > STRONG && !evidence.by_host[j]);
    // Others use as much and nobody waits for it, so from use alone no effect can be learnt and none is asked for: it is
    // not the effect of waiting, and at a culprit of all services it is hardly there by chance.
    let used = || loudest(&evidence.used[j]).filter(|r| evidence.used[j][r.index()] > SUSPICIOUS);
    busy().or_else(|| strong.or_else(used).filter(is_there)).or_else(shifted)
}

/// The resource of the server side that is furthest from normal.
fn loudest(z: &[f64; Resource::ALL.len()]) -> Option<Resource> {
    SERVER.into_iter().max_by(|a, b| z[a.index()].total_cmp(&z[b.index()]))
}

/// How much latency goes away, in logarithms of milliseconds, beside what the other culprits account for.
struct Relief {
    /// With everything of the network normal.
    network: f64,
    /// With everything of the server side normal.
    server: f64,
    /// With one resource normal, and whatever it may have dragged along.
    together: [f64; SERVER.len()],
    /// With one resource normal and nothing else.
    alone: [f64; SERVER.len()],
}

impl Relief {
    /// Asks for all of it in one batch. `nets` are the RPCs whose network is that of culprit `j`.
    fn ask(
        inquiry: &Inquiry<'_>,
        base: &Query,
        nets: &[usize],
        j: usize,
        accused: &[Resource],
    ) -> Self {
        let with = |whats: &[What]| {
            let mut query = base.clone();
            for what in whats {
                let nets = if *what == What::Network { nets.to_vec() } else { Vec::new() };
                query.restore.push(Restore { service: j, what: *what, nets });
            }
            query
        };
        let mut queries = vec![base.clone(), with(&[What::Network]), with(&[What::Server])];
        queries.extend(SERVER.map(|r| {
            let along = dragged_by(r).iter().filter(|d| accused.contains(d));
            with(&std::iter::once(&r).chain(along).map(|r| What::Resource(*r)).collect::<Vec<_>>())
        }));
        queries.extend(SERVER.map(|r| with(&[What::Resource(r)])));
        let answers = inquiry.ask(&queries);
        let relief = |i: usize| (answers[0].log_ms - answers[i].log_ms).max(0.0);
        Self {
            network: relief(1),
            server: relief(2),
            together: std::array::from_fn(|r| relief(3 + r)),
            alone: std::array::from_fn(|r| relief(3 + SERVER.len() + r)),
        }
    }

    /// What can be explained at all.
    fn explained(&self) -> f64 {
        self.server.max(self.network)
    }
}

/// One culprit: how far its resources are from normal, and what each of them does.
struct Shortage {
    /// Robust z-scores, by resource.
    z: [f64; Resource::ALL.len()],
    /// Deviations in units of what faults do, by resource.
    size: [f64; Resource::ALL.len()],
    /// z-scores of the time lost for want of each, where that is measured.
    stall: [Option<f64>; Resource::ALL.len()],
    /// z-scores of how often a limit of each was hit.
    limit: [f64; Resource::ALL.len()],
    /// Resources of the server side that are abnormal.
    accused: Vec<Resource>,
    relief: Relief,
    gate: f64,
}

impl Shortage {
    fn z(&self, resource: Resource) -> f64 {
        self.z[resource.index()]
    }

    fn size(&self, resource: Resource) -> f64 {
        self.size[resource.index()]
    }

    fn is_accused(&self, resource: Resource) -> bool {
        self.accused.contains(&resource)
    }

    /// Is it the network, although something on the server side is abnormal as well? Delays between spans
    /// include waiting for a starved process at either end, so where nothing else speaks for the network, a
    /// shortage at the service explains them.
    fn is_network(&self, is_measured: bool, delays: f64) -> bool {
        if self.relief.network <= self.relief.server {
            return false;
        }
        let most =
            |of: &dyn Fn(Resource) -> f64| self.accused.iter().map(|r| of(*r)).fold(0.0, f64::max);
        let largest = most(&|r| self.size(r));
        // Most of the time is lost between the spans, and what is short at the service is short by little.
        let is_between = delays > self.gate && largest < SLIGHT;
        let z = self.z(Resource::Network);
        let is_louder = z > most(&|r| self.z(r)) || self.size(Resource::Network) > largest;
        is_between || (is_measured && z > self.gate && is_louder)
    }

    /// The accused that explain enough and are not the work of another.
    fn effective(&self) -> impl Iterator<Item = Resource> + '_ {
        // Reads can rise from nothing to anything; memory that is short beside them says why.
        let is_paging = self.is_accused(Resource::Memory) && self.size(Resource::Memory) >= SLIGHT;
        self.accused.iter().copied().filter(move |r| {
            let relief = self.relief.together[r.index()];
            let is_symptom = *r == Resource::Disk && is_paging;
            let is_other =
                is_symptom || self.is_dragged(*r) || self.is_idle(*r) || self.is_beaten(*r);
            relief > 0.0 && relief >= SHARE_MIN * self.relief.explained() && !is_other
        })
    }

    /// Time is verifiably lost for want of it.
    fn is_stalled(&self, resource: Resource) -> bool {
        self.stall[resource.index()].is_some_and(|z| z > self.gate)
    }

    /// More of it was asked for than a limit allows, which no other shortage makes happen, and with what it may have
    /// dragged along it explains enough.
    fn is_at_limit(&self, resource: Resource) -> bool {
        let together = self.relief.together[resource.index()];
        self.limit[resource.index()] > self.gate
            && self.is_accused(resource)
            && self.size(resource) >= SLIGHT
            && together >= SHARE_MIN * self.relief.explained()
    }

    /// What time is lost for, if it does most by itself, drags along what it may. What is at its limit need not: all
    /// of its effect may come by way of what it drags along, as when pages are taken back until no quota is left, and
    /// then it has none beside that.
    fn is_dragged(&self, resource: Resource) -> bool {
        let does_it = |cause: Resource| {
            self.relief.alone[cause.index()] >= SHARE_MIN * self.relief.explained()
        };
        let drags =
            |cause: Resource| self.is_at_limit(cause) || (self.is_stalled(cause) && does_it(cause));
        let may = |cause: &&Resource| dragged_by(**cause).contains(&resource);
        self.accused.iter().filter(may).any(|cause| drags(*cause))
    }

    /// What does nothing by itself, beside something it could have dragged along that does nearly all, has
    /// dragged nothing.
    fn is_idle(&self, resource: Resource) -> bool {
        let (alone, explained) = (&self.relief.alone, self.relief.explained());
        let does_it =
            |d: &Resource| self.is_accused(*d) && alone[d.index()] >= SHARE_MIN * explained;
        alone[resource.index()] < SHARE_IDLE * explained
            && !self.is_at_limit(resource)
            && dragged_by(resource).iter().any(does_it)
    }

    /// A processor that has both more effect by itself and clearly more evidence was not dragged along. Reads
    /// say nothing like it: they rise from nothing to anything. Memory drags along by paging, so where nothing is read
    /// the effect decides.
    fn is_beaten(&self, resource: Resource) -> bool {
        let cpu = Resource::Cpu;
        let alone = &self.relief.alone;
        let is_louder = EFFECT * self.z(cpu) > self.z(resource);
        let is_still = resource == Resource::Memory && self.z(Resource::Disk) <= SUSPICIOUS;
        alone[cpu.index()] > alone[resource.index()]
            && (is_louder || is_still)
            && self.is_accused(cpu)
            && dragged_by(resource).contains(&cpu)
            && !self.is_stalled(resource)
            && !self.is_at_limit(resource)
    }

    /// Which of several it is, the size of the deviation tells: one shortage drags other metrics along, paging
    /// reads from disk and stalls the processor, but none as far as its own.
    fn largest(&self, of: impl Iterator<Item = Resource>) -> Option<Resource> {
        let amplitude = |r: Resource| {
            let is_dragged =
                r == Resource::Cpu || self.accused.iter().any(|a| dragged_by(*a).contains(&r));
            let discount = if is_dragged { EFFECT } else { 1.0 };
            discount * self.size(r)
        };
        of.max_by(|a, b| amplitude(*a).total_cmp(&amplitude(*b)))
    }
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
