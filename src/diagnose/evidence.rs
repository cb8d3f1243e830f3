//! How abnormal each service is, before any counterfactual, and whose network it is.

use super::inquiry::Inquiry;
use crate::data::{Name, Resource};
use crate::graph::{CausalNet, Situation};
use crate::stats::median;

/// Share of a service's links that must be slow before the slowness is taken for its own.
const COMMON: f64 = 0.6;

/// Evidence about every service, median over the violating intervals.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// z-score of each resource, network delays included.
    pub resources: Vec<[f64; 4]>,
    /// The same in units of what faults anywhere do to such a metric.
    pub amplitudes: Vec<[f64; 4]>,
    /// How slow each service is by itself.
    pub slowness: Vec<f64>,
    /// z-score of the delays that are each service's own.
    pub delays: Vec<f64>,
    /// Whether metrics of the network, rather than delays between spans, speak for it.
    pub has_network_metrics: Vec<bool>,
    /// z-scores of single features, strongest first.
    pub features: Vec<Vec<(Name, Resource, f64)>>,
    /// Distance of the latents from their prior.
    pub latents: Vec<f64>,
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
        let delays: Vec<f64> = (0..net.rpcs.len()).map(|i| over(&|s| s.delays[i])).collect();
        let network = Resource::Network.index();
        let metrics: Vec<f64> =
            (0..net.services.len()).map(|j| over(&|s| s.resources[j][network])).collect();
        let view = Network { net, delays: &delays, metrics: &metrics, gate };
        let links: Vec<Links> = (0..net.services.len()).map(|j| view.links_of(j)).collect();
        let (mut resources, mut amplitudes) = (Vec::new(), Vec::new());
        let mut has_network_metrics = Vec::new();
        for (j, links) in links.iter().enumerate() {
            let mut z: [f64; 4] = std::array::from_fn(|r| over(&|s| s.resources[j][r]));
            // Delays between spans include waiting at both ends: they speak for the network only
            // where no metric of the service's own network does.
            let has_metrics = situations.iter().any(|s| s.has_network_metrics[j]);
            if !has_metrics {
                z[network] = z[network].max(links.delay);
            }
            has_network_metrics.push(has_metrics);
            resources.push(z);
            amplitudes.push(std::array::from_fn(|r| over(&|s| s.amplitudes[j][r])));
        }
        Self {
            features: (0..net.services.len()).map(|j| features(&situations, j)).collect(),
            latents: (0..net.services.len()).map(|j| over(&|s| s.latents[j])).collect(),
            slowness: (0..net.services.len()).map(|j| over(&|s| s.slowness[j])).collect(),
            delays: links.iter().map(|l| l.delay).collect(),
            nets: links.into_iter().map(|l| l.nets).collect(),
            resources,
            amplitudes,
            has_network_metrics,
        }
    }

    /// The strongest evidence about service `j`.
    pub(super) fn strongest(&self, j: usize) -> f64 {
        self.resources[j].iter().copied().fold(0.0, f64::max)
    }
}

fn features(situations: &[Situation], j: usize) -> Vec<(Name, Resource, f64)> {
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
}

/// What is known about the network, to tell whose a slow link is.
struct Network<'a> {
    net: &'a CausalNet,
    /// z-score of the delays of each RPC.
    delays: &'a [f64],
    /// z-score of the network metrics of each service; zero without any.
    metrics: &'a [f64],
    gate: f64,
}

impl Network<'_> {
    /// A link belongs to the service it leads to, unless metrics accuse the one it comes from. When
    /// most links of a service are slow, those it uses as a caller too, the trouble is at its own end.
    fn links_of(&self, j: usize) -> Links {
        let is_paired = |i: &usize| self.net.rpcs[*i].kind == crate::data::RpcKind::Paired;
        let inward: Vec<usize> = self.net.served(j).filter(is_paired).collect();
        let outward: Vec<usize> = self.net.invoked(j).filter(is_paired).collect();
        let slow = |links: &[usize]| {
            let count = links.iter().filter(|i| self.delays[**i] > self.gate).count();
            count as f64 / links.len().max(1) as f64
        };
        let is_common = match outward.len() {
            0 => false,
            1 => slow(&outward) > 0.0 && slow(&inward) >= COMMON,
            _ => slow(&outward) >= COMMON,
        };
        let nets: Vec<usize> = if is_common {
            [inward, outward].concat()
        } else {
            let led_to = inward.into_iter().filter(|i| !self.is_callers(*i));
            led_to.chain(outward.into_iter().filter(|i| self.is_callers(*i))).collect()
        };
        let delay = median(nets.iter().map(|i| self.delays[*i])).unwrap_or(0.0);
        Links { nets, delay }
    }

    /// Whether link `i` is slow, and metrics say that it is so at its caller's end.
    fn is_callers(&self, i: usize) -> bool {
        let rpc = &self.net.rpcs[i];
        let caller = rpc.caller.map_or(0.0, |a| self.metrics[a]);
        self.delays[i] > self.gate && caller > self.gate && caller > self.metrics[rpc.callee]
    }
}
