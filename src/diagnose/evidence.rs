//! How abnormal each service is, before any counterfactual, and whose network it is.

use std::collections::BTreeSet;

use super::hosts::{Neighbours, Shared};
use super::inquiry::Inquiry;
use super::replicas::by_requests;
use crate::data::{FeatureWindow, Frame, Name, Resource, RpcKind, Scope, Signal};
use crate::graph::{CausalNet, Delay, Deviations, Situation};
use crate::stats::median;

/// Share of a service's links that must be slow before the slowness is taken for its own.
const COMMON: f64 = 0.6;

/// Places of the median and of the 90th percentile among the levels.
const MIDDLE: usize = 0;
const UPPER: usize = 2;
/// Delays of a link rise at the 90th percentile by at most this many times what they do at the median: between a
/// constant's one and the 3.3 of exponential waiting.
const CONSTANT: f64 = 1.6;

/// A deviation this small, in units of what faults do, is no shortage to speak of.
pub(super) const SLIGHT: f64 = 0.5;
/// Slow replicas have so many times as much of what sets them apart as the others at least.
const APART: f64 = 2.0;

/// Evidence about every service, median over the violating intervals.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// z-score of each resource, network delays included.
    pub resources: Vec<[f64; 4]>,
    /// The same in units of what faults anywhere do to such a metric.
    pub amplitudes: Vec<[f64; 4]>,
    /// z-score of the time each service lost for want of each resource, where that is measured.
    pub stalls: Vec<[Option<f64>; 4]>,
    /// z-scores of how often each service hit a limit of each resource.
    pub limits: Vec<[f64; 4]>,
    /// Level of the loudest metric of each resource as a share of the highest that the service has shown.
    pub shares: Vec<[f64; 4]>,
    /// z-scores of what each service uses beyond what load and work in flight explain.
    pub used: Vec<[f64; 4]>,
    /// How far each service's own use of processors is beyond all that calm has shown, in log units; zero where
    /// that says nothing.
    pub busy: Vec<f64>,
    /// How slow each service is by itself.
    pub slowness: Vec<f64>,
    /// z-score of the delays that are each service's own.
    pub delays: Vec<f64>,
    /// The same as far as its links may be why.
    pub late: Vec<f64>,
    /// Whether only hosts speak against each service, not its own metrics.
    pub by_host: Vec<bool>,
    /// Shortages of a host of each service that slow down nearly everybody there.
    pub shared: Vec<[Option<Shared>; 4]>,
    /// Whether metrics of the network, rather than delays between spans, speak for it.
    pub has_network_metrics: Vec<bool>,
    /// z-scores of single features, strongest first.
    pub features: Vec<Vec<(Name, Resource, f64)>>,
    /// Distance of the latents from their prior.
    pub latents: Vec<f64>,
    /// Whether only its callers see each service: nobody can tell it from its link.
    pub dark: Vec<bool>,
    /// Whether, besides, all its requests are late by much the same: as a slow link makes them, where waiting comes and
    /// goes.
    pub shifted: Vec<bool>,
    /// Of resources whose shortage sets the slow replicas of each service apart from its others, the z-scores.
    pub apart: Vec<[f64; 4]>,
    /// RPCs whose network is restored together with the service.
    pub nets: Vec<Vec<usize>>,
}

impl Evidence {
    /// Collects it; `gate` is the z-score from which a value counts as abnormal.
    pub(super) fn collect(inquiry: &Inquiry<'_>, gate: f64) -> Self {
        let situations = inquiry.situations();
        let net = inquiry.net();
        let over =
            |pick: &dyn Fn(&Situation) -> f64| median(situations.iter().map(pick)).unwrap_or(0.0);
        let delays: Vec<Option<Delay>> =
            (0..net.rpcs.len()).map(|i| delay(&situations, i)).collect();
        let network = Resource::Network.index();
        let all = |of: &dyn Fn(usize) -> f64| (0..net.services.len()).map(of).collect::<Vec<f64>>();
        let metrics = all(&|j| over(&|s| s.own[j].z[network]));
        let starved = all(&|j| starved(&situations, j, gate));
        let view = Network { net, delays: &delays, metrics: &metrics, starved: &starved, gate };
        let links: Vec<Links> = (0..net.services.len()).map(|j| view.links_of(j)).collect();
        let (mut resources, mut amplitudes) = (Vec::new(), Vec::new());
        let (mut by_host, mut has_network_metrics) = (Vec::new(), Vec::new());
        let (mut stalls, mut shares) = (Vec::new(), Vec::new());
        let own: Vec<Deviations> = (0..net.services.len()).map(|j| own(&situations, j)).collect();
        let slowness = all(&|j| over(&|s| s.slowness[j]));
        let neighbours = Neighbours::of(inquiry, gate);
        let shared = neighbours.shared(&situations, &slowness);
        for (j, links) in links.iter().enumerate() {
            let mut mine = own[j];
            // Who waits for a processor takes up late what has arrived, so that delays between spans say nothing then.
            let is_starved =
                mine.z.iter().all(|z| *z <= gate) && shared[j].iter().any(Option::is_some);
            // Delays between spans include waiting at both ends: they speak for the network only
            // where no metric of the service's own network does.
            let has_metrics = situations.iter().any(|s| s.has_network_metrics[j]);
            if !has_metrics && !is_starved {
                mine.z[network] = mine.z[network].max(links.link);
            }
            has_network_metrics.push(has_metrics);
            by_host.push(mine.z.iter().all(|z| *z <= gate));
            if by_host[by_host.len() - 1] {
                neighbours.heed(&mut mine, j, &situations, (&own, &shared));
            }
            stalls.push(mine.stall);
            resources.push(mine.z);
            amplitudes.push(mine.amplitude);
            shares.push(mine.share);
        }
        let is_dark = |j: usize| net.served(j).all(|i| net.rpcs[i].kind == RpcKind::ClientOnly);
        let dark: Vec<bool> = (0..net.services.len()).map(is_dark).collect();
        let shifted =
            |j: usize| dark[j] && !is_probed(inquiry, j) && is_shifted(inquiry, j, &delays, gate);
        let features = features_of_all(&situations, net.services.len());
        let apart_of = |j: usize| {
            let hosts = combined(&situations, |s| s.hosts[j]);
            apart(inquiry, j, &features[j], (gate, [own[j].amplitude, hosts.amplitude]))
        };
        let apart = (0..net.services.len()).map(apart_of).collect();
        Self {
            apart,
            features,
            used: (0..net.services.len())
                .map(|j| std::array::from_fn(|r| over(&|s| s.used[j][r])))
                .collect(),
            shifted: (0..net.services.len()).map(shifted).collect(),
            dark,
            latents: all(&|j| over(&|s| s.latents[j])),
            limits: own.iter().map(|own| own.limit).collect(),
            busy: all(&|j| over(&|s| s.busy[j].unwrap_or(0.0))),
            slowness,
            shared,
            delays: links.iter().map(|l| l.delay).collect(),
            late: links.iter().map(|l| l.link).collect(),
            nets: links.into_iter().map(|l| l.nets).collect(),
            resources,
            amplitudes,
            shares,
            stalls,
            by_host,
            has_network_metrics,
        }
    }

    /// The resource that the hosts of service `j` are shortest of, where that is all there is against it and slows
    /// down nearly everybody there.
    pub(super) fn shared_by_host(&self, j: usize) -> Option<Resource> {
        let shared = Resource::ALL.into_iter().zip(self.shared[j]);
        let worst = shared.filter_map(|(r, shared)| Some((r, shared?.z)));
        worst.filter(|_| self.by_host[j]).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(r, _)| r)
    }

    /// The strongest evidence about service `j`.
    pub(super) fn strongest(&self, j: usize) -> f64 {
        self.resources[j].iter().copied().fold(0.0, f64::max)
    }
}

/// How much service `j` lacks processor time, in units of what faults do; zero where it does not.
fn starved(situations: &[Situation], j: usize, gate: f64) -> f64 {
    let all = combined(situations, |s| s.own[j]);
    let cpu = Resource::Cpu.index();
    if all.z[cpu] > gate { all.amplitude[cpu] } else { 0.0 }
}

/// What its own metrics say about service `j`.
fn own(situations: &[Situation], j: usize) -> Deviations {
    let mut own = combined(situations, |s| s.own[j]);
    own.heed_stalls();
    own
}

/// Whether service `j`, as its own metrics say, uses nothing of `resource`: who does not read is not kept waiting by
/// a busy disk.
pub(super) fn goes_without(inquiry: &Inquiry<'_>, j: usize, resource: Resource) -> bool {
    let window = inquiry.newest().and_then(|f| f.service(&inquiry.net().services[j]));
    let used = window.iter().flat_map(|w| &w.features).filter(|f| {
        let is_use = f.signal == Signal::Usage && f.scope == Scope::Service;
        is_use && f.role.resource() == Some(resource)
    });
    let levels: Vec<f64> = used.map(FeatureWindow::level).collect();
    !levels.is_empty() && levels.iter().all(|level| *level <= 0.0)
}

/// What all intervals together say.
pub(super) fn combined(
    situations: &[Situation],
    of: impl Fn(&Situation) -> Deviations,
) -> Deviations {
    let all: Vec<Deviations> = situations.iter().map(of).collect();
    let over = |pick: &dyn Fn(&Deviations) -> f64| median(all.iter().map(pick)).unwrap_or(0.0);
    Deviations {
        z: std::array::from_fn(|r| over(&|d| d.z[r])),
        amplitude: std::array::from_fn(|r| over(&|d| d.amplitude[r])),
        stall: std::array::from_fn(|r| median(all.iter().filter_map(|d| d.stall[r]))),
        share: std::array::from_fn(|r| over(&|d| d.share[r])),
        limit: std::array::from_fn(|r| over(&|d| d.limit[r])),
    }
}

/// How late RPC `i` is, over all intervals that saw it.
fn delay(situations: &[Situation], i: usize) -> Option<Delay> {
    let over = |pick: &dyn Fn(Delay) -> f64| {
        median(situations.iter().filter_map(|s| s.delays[i]).map(pick))
    };
    Some(Delay { all: over(&|d| d.all)?, link: over(&|d| d.link)? })
}

/// Whether somebody measures how long the way to service `j` takes: then no more is to be told from its callers.
fn is_probed(inquiry: &Inquiry<'_>, j: usize) -> bool {
    let window = inquiry.newest().and_then(|f| f.service(&inquiry.net().services[j]));
    window.is_some_and(|w| w.features.iter().any(|f| f.scope == Scope::Probe))
}

/// By resource, the z-score of the loudest abnormal metric that is much higher wherever service `j` is slow than wherever
/// it is not; zero where there is none. Use is none: it may be the slowness that is used.
fn apart(
    inquiry: &Inquiry<'_>,
    j: usize,
    features: &[(Name, Resource, f64)],
    (gate, sizes): (f64, [[f64; Resource::ALL.len()]; 2]),
) -> [f64; Resource::ALL.len()] {
    let mut apart = [0.0; Resource::ALL.len()];
    let service = &inquiry.net().services[j];
    let frames: Vec<&Frame> = inquiry.frames().collect();
    let Some(slow) = by_requests(&frames, service) else { return apart };
    let Some(window) = inquiry.newest().and_then(|f| f.service(service)) else { return apart };
    let is_slow = |r: usize| slow.iter().any(|replica| replica.name == window.replicas[r].name);
    // Twice nothing is nothing.
    let is_much = |r: Resource| sizes.iter().any(|size| size[r.index()] >= SLIGHT);
    let loud = features.iter().filter(|(_, r, z)| *z > gate && is_much(*r));
    for (name, resource, z) in loud {
        let feature = window.features.iter().find(|f| f.name == *name);
        let feature = feature.filter(|f| f.signal != Signal::Usage);
        let values = feature.iter().flat_map(|f| f.by_replica.iter().enumerate());
        let values: Vec<(bool, f64)> =
            values.filter_map(|(r, v)| Some((is_slow(r), (*v)?))).collect();
        let of = |slow: bool| values.iter().filter(move |(s, _)| *s == slow).map(|(_, v)| *v);
        let is_known = of(true).next().is_some() && of(false).next().is_some();
        let low = of(true).fold(f64::INFINITY, f64::min);
        if is_known && low > APART * of(false).fold(0.0, f64::max) {
            let most = &mut apart[resource.index()];
            *most = most.max(*z);
        }
    }
    apart
}

/// Whether everything that service `j` is asked for, as far as it is late, is late by a constant, and is answered: all who
/// give up do so after the same time.
fn is_shifted(inquiry: &Inquiry<'_>, j: usize, delays: &[Option<Delay>], gate: f64) -> bool {
    let net = inquiry.net();
    let late: Vec<usize> =
        net.served(j).filter(|i| delays[*i].is_some_and(|d| d.all > gate)).collect();
    let is_constant = |i: &usize| {
        let key = &net.rpcs[*i].key;
        let then = inquiry.normal().rpc(key)?;
        let seen = || inquiry.frames().filter_map(|f| f.rpc(key)).filter(|w| w.count > 0);
        let is_answered = seen().all(|w| 2 * w.failed <= w.count);
        let rise = |q: usize| median(seen().map(|w| f64::from(w.client.0[q] - then.client.0[q])));
        Some(is_answered && rise(UPPER)? <= CONSTANT * rise(MIDDLE)?)
    };
    !late.is_empty() && late.iter().all(|i| is_constant(i) == Some(true))
}

/// z-scores of every feature, strongest first, by service.
fn features_of_all(situations: &[Situation], services: usize) -> Vec<Vec<(Name, Resource, f64)>> {
    (0..services).map(|j| features_of(situations, j)).collect()
}

fn features_of(situations: &[Situation], j: usize) -> Vec<(Name, Resource, f64)> {
    let Some(first) = situations.first() else { return Vec::new() };
    let mut all: Vec<(Name, Resource, f64)> = first.features[j]
        .iter()
        .map(|(name, resource, _)| {
            let of = |s: &Situation| {
                s.features[j].iter().find(|(n, _, _)| n == name).map(|(_, _, z)| *z)
            };
            let z = median(situations.iter().filter_map(of)).unwrap_or(0.0);
            (name.clone(), *resource, z)
        })
        .collect();
    all.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
    all
}

/// The links of a service.
struct Links {
    /// RPCs whose network goes with the service.
    nets: Vec<usize>,
    /// z-score of the delays that are its own.
    delay: f64,
    /// The same as far as the links may be why.
    link: f64,
}

/// Slow links of a service.
struct Share {
    /// Of all of its links.
    share: f64,
    slow: usize,
    /// Services at their other ends.
    peers: usize,
}

/// What is known about the network, to tell whose a slow link is.
struct Network<'a> {
    net: &'a CausalNet,
    /// z-scores of the delays of each RPC; `None` where no request was seen.
    delays: &'a [Option<Delay>],
    /// z-score of the network metrics of each service; zero without any.
    metrics: &'a [f64],
    /// How much each service lacks processor time, in units of what faults do; zero where it does not.
    starved: &'a [f64],
    gate: f64,
}

impl Network<'_> {
    /// The links of service `j` whose slowness would be its own.
    fn links_of(&self, j: usize) -> Links {
        let nets: Vec<usize> = self.links(j).filter(|i| self.owner(*i) == j).collect();
        let over = |of: &dyn Fn(usize, Delay) -> f64| {
            median(nets.iter().filter_map(|i| self.delays[*i].map(|d| of(*i, d)))).unwrap_or(0.0)
        };
        let delay = over(&|_, d| d.all);
        // Who waits at the other end of a call does not wait here.
        let link = over(&|i, d| if self.net.rpcs[i].callee == j { d.link } else { d.all });
        Links { nets, delay, link }
    }

    /// RPCs over which service `j` speaks with others, and whose other end is known.
    fn links(&self, j: usize) -> impl Iterator<Item = usize> {
        let inward = self.net.served(j).filter(|i| self.kind(*i) == RpcKind::Paired);
        let both = [RpcKind::Paired, RpcKind::ClientOnly];
        inward.chain(self.net.invoked(j).filter(move |i| both.contains(&self.kind(*i))))
    }

    fn kind(&self, i: usize) -> RpcKind {
        self.net.rpcs[i].kind
    }

    fn is_slow(&self, i: usize) -> bool {
        self.delays[i].is_some_and(|d| d.all > self.gate)
    }

    /// Whose link RPC `i` is: that of the service it leads to, unless the end it comes from has worse
    /// network metrics, lacks processor time more (it takes up late what has long arrived), or is slow towards
    /// (nearly) everybody while the other end is not.
    fn owner(&self, i: usize) -> usize {
        let rpc = &self.net.rpcs[i];
        let Some(caller) = rpc.caller else { return rpc.callee };
        let (from, to) = (self.metrics[caller], self.metrics[rpc.callee]);
        // Seen from the caller alone, a slow callee looks like a slow link.
        let is_dark = rpc.kind == RpcKind::ClientOnly;
        let has_witness = from > self.gate
            || self.links(caller).any(|k| self.is_slow(k) && self.kind(k) == RpcKind::Paired);
        if is_dark && !has_witness {
            return rpc.callee;
        }
        let is_common = || {
            // Of two that would explain it equally well, the one that explains more. What waits on its way to one
            // other alone waits for that one.
            let (mine, other) = (self.share(caller), self.share(rpc.callee));
            let explains_more = (mine.share, mine.slow) > (other.share, other.slow);
            let is_sent_late = mine.peers > 1 || self.delays[i].is_some_and(|d| d.link > self.gate);
            self.is_slow(i) && mine.share >= COMMON && is_sent_late && explains_more
        };
        let is_callers = match (from > self.gate, to > self.gate) {
            (false, false) => self.starved[caller] > self.starved[rpc.callee] || is_common(),
            _ => self.is_slow(i) && from > to,
        };
        if is_callers { caller } else { rpc.callee }
    }

    /// How many of the links of service `j` are slow, of those that were seen.
    fn share(&self, j: usize) -> Share {
        let dark = self.net.served(j).filter(|i| self.kind(*i) == RpcKind::ClientOnly);
        let links = self.links(j).chain(dark).filter(|i| self.delays[*i].is_some());
        let links: Vec<usize> = links.collect();
        let slow: Vec<usize> = links.iter().copied().filter(|i| self.is_slow(*i)).collect();
        let other = |i: &usize| match &self.net.rpcs[*i] {
            rpc if rpc.callee == j => rpc.caller,
            rpc => Some(rpc.callee),
        };
        let peers = slow.iter().map(other).collect::<BTreeSet<_>>().len();
        Share { share: slow.len() as f64 / links.len().max(1) as f64, slow: slow.len(), peers }
    }
}
