//! Who shares a host with whom, and what of a host's trouble is everybody's.

use std::collections::BTreeMap;

use super::evidence::{combined, goes_without};
use super::inquiry::Inquiry;
use super::search::SLOW_AT_ALL;
use crate::data::{Name, Resource};
use crate::graph::{Deviations, Situation};
use crate::stats::median;

/// Share of the others on a host who use a resource that must be slow before its shortage is everybody's: trouble of one
/// of them slows down that one, and those who call it.
const STRUCK: f64 = 0.6;
/// And so many of them at least.
const WITNESSES_MIN: usize = 2;

/// Who shares a host with whom.
pub(super) struct Neighbours<'a> {
    inquiry: &'a Inquiry<'a>,
    /// z-score of evidence.
    gate: f64,
    /// By service, the hosts of its replicas.
    hosts: Vec<Vec<Name>>,
    /// By host, the services there.
    tenants: BTreeMap<Name, Vec<usize>>,
}

/// A shortage of a host that slows its tenants down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shared {
    /// Robust z-score of the host's metrics.
    pub z: f64,
    /// The same in units of what faults anywhere do.
    pub amplitude: f64,
}

impl Shared {
    /// What the hosts of services `struck` show of `resource`: the median.
    fn of(situations: &[Situation], struck: &[usize], resource: Resource) -> Self {
        let said: Vec<Deviations> =
            struck.iter().map(|k| combined(situations, |s| s.hosts[*k])).collect();
        let middle = |of: &dyn Fn(&Deviations) -> f64| median(said.iter().map(of)).unwrap_or(0.0);
        let r = resource.index();
        Self { z: middle(&|d| d.z[r]), amplitude: middle(&|d| d.amplitude[r]) }
    }
}

impl<'a> Neighbours<'a> {
    /// As the newest interval has it. `gate`: z-score of evidence.
    pub(super) fn of(inquiry: &'a Inquiry<'a>, gate: f64) -> Self {
        let services = &inquiry.net().services;
        let (hosts, tenants) = (vec![Vec::new(); services.len()], BTreeMap::new());
        let mut all = Self { inquiry, gate, hosts, tenants };
        for (j, service) in services.iter().enumerate() {
            let window = inquiry.newest().and_then(|frame| frame.service(service));
            for replica in window.iter().flat_map(|w| &w.replicas).filter(|r| !r.node.is_empty()) {
                if !all.hosts[j].contains(&replica.node) {
                    all.hosts[j].push(replica.node.clone());
                    all.tenants.entry(replica.node.clone()).or_default().push(j);
                }
            }
        }
        all
    }

    /// Others on a host of service `j`.
    fn of_service(&self, j: usize) -> impl Iterator<Item = usize> {
        let on = |host: &Name| self.tenants.get(host).into_iter().flatten().copied();
        self.hosts[j].iter().flat_map(on).filter(move |k| *k != j)
    }

    /// By service and resource of the server side, the worst shortage of a host of it, if nearly all others who use
    /// the resource there are slow by themselves. Who calls it, directly or not, proves nothing: it may be slow because of
    /// it. What one of them does not show, because it waits for much as it is, the others do: the median counts.
    pub(super) fn shared(
        &self,
        situations: &[Situation],
        slowness: &[f64],
    ) -> Vec<[Option<Shared>; Resource::ALL.len()]> {
        let mut all = vec![[None; Resource::ALL.len()]; self.hosts.len()];
        let is_slow = |k: &usize| slowness[*k] >= SLOW_AT_ALL;
        for tenants in self.tenants.values() {
            if tenants.iter().filter(|k| is_slow(k)).count() <= WITNESSES_MIN {
                continue;
            }
            let net = self.inquiry.net();
            let callees: Vec<Vec<bool>> = tenants.iter().map(|k| net.callees_of(*k)).collect();
            for r in [Resource::Cpu, Resource::Memory, Resource::Disk] {
                let uses = |k: &usize| !goes_without(self.inquiry, *k, r);
                for j in tenants.iter().copied().filter(|j| is_slow(j) && uses(j)) {
                    let others = tenants.iter().zip(&callees).filter(|(k, to)| **k != j && !to[j]);
                    let others: Vec<usize> = others.map(|(k, _)| *k).filter(uses).collect();
                    let struck: Vec<usize> = others.iter().copied().filter(is_slow).collect();
                    let is_shared = struck.len() >= WITNESSES_MIN
                        && struck.len() as f64 >= STRUCK * others.len() as f64;
                    if is_shared {
                        let said = Shared::of(situations, &struck, r);
                        let known: &mut Option<Shared> = &mut all[j][r.index()];
                        if said.z > known.map_or(self.gate, |known| known.z) {
                            *known = Some(said);
                        }
                    }
                }
            }
        }
        all
    }

    /// Adds to `mine`, where the metrics of service `j` itself say nothing, what those of its hosts do. Others share
    /// these, and they tell of them, too: they count where nobody's own metrics there say why, and where it uses the
    /// resource at all; and where all are slow, in which case it matters neither whose work it is nor what one of
    /// them waits for besides.
    pub(super) fn heed(
        &self,
        mine: &mut Deviations,
        j: usize,
        situations: &[Situation],
        (own, shared): (&[Deviations], &[[Option<Shared>; Resource::ALL.len()]]),
    ) {
        let hosts = combined(situations, |s| s.hosts[j]);
        let is_open = |n: usize| !self.of_service(j).any(|k| own[k].z[n] > self.gate);
        for r in Resource::ALL {
            let n = r.index();
            if is_open(n) && !goes_without(self.inquiry, j, r) {
                mine.add(r, hosts.z[n], hosts.amplitude[n], hosts.share[n]);
            }
            if let Some(Shared { z, amplitude }) = shared[j][n] {
                mine.add(r, z, amplitude, hosts.share[n]);
            }
        }
    }
}
