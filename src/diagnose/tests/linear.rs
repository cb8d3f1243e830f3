//! A mechanism that knows the application of `town.rs`: every counterfactual can be worked out by
//! hand.

use super::town::{base, net, percentiles};
use crate::data::{Frame, Percentiles, Resource, RpcKey, RpcWindow};
use crate::graph::{
    Case, CausalNet, Delay, Deviations, Hypothesis, Latencies, Mechanism, Quality, Query, Restore,
    Situation, What,
};

/// Usual deviation of a metric, and of a service's own latency in milliseconds.
const SIGMA: f64 = 0.5;
/// Usual deviation of the delays of an RPC, milliseconds.
const DELAY_SIGMA: f64 = 0.1;

/// The mechanism.
#[derive(Debug)]
pub(super) struct Linear {
    net: CausalNet,
    quality: Quality,
    /// Whether the network has metrics, or only delays between spans speak for it.
    pub(super) has_network_metrics: bool,
    /// They tell of what is lost, and nothing is.
    pub(super) is_lossless: bool,
    /// Whether what is late is late on its way, and not for want of a worker.
    pub(super) is_link: bool,
    /// A resource whose metrics have no effect on any latency.
    pub(super) idle: Option<Resource>,
    /// A resource of which no fault has shown yet what a shortage looks like: deviations seem large.
    pub(super) unseen: Option<Resource>,
    /// Whether whatever is restored changes nothing.
    pub(super) is_deaf: bool,
    /// A service of which every metric is believed, even when the latency says otherwise.
    pub(super) believed: Option<&'static str>,
    /// Whether metrics tell of use rather than of shortage.
    pub(super) is_use: bool,
    /// z-score of a resource that the metrics of every host show.
    pub(super) host: Option<(Resource, f64)>,
    /// z-scores of the time every service loses for want of each resource, where that is measured.
    pub(super) stall: [Option<f64>; 4],
    /// z-scores of how often every service hits a limit of each resource.
    pub(super) limit: [f64; 4],
    /// Every metric's level as a share of the highest ever seen.
    pub(super) share: f64,
    /// How far every service's use of processors is beyond what calm has shown.
    pub(super) busy: Option<f64>,
    /// An RPC of which no request was seen.
    pub(super) unheard: Option<RpcKey>,
}

fn p99(p: Percentiles) -> f64 {
    f64::from(p.0[4])
}

fn delay(w: &RpcWindow) -> f64 {
    p99(w.request) + p99(w.response)
}

/// Level of the metric of `resource`.
fn level(frame: &Frame, service: &str, resource: Resource) -> f64 {
    let window = frame.service(service).unwrap();
    window.features.iter().find(|f| f.role.resource() == Some(resource)).unwrap().level()
}

const SERVER_SIDE: [Resource; 3] = [Resource::Cpu, Resource::Memory, Resource::Disk];

impl Linear {
    pub(super) fn new() -> Self {
        let quality =
            Quality { r2: 1.0, r2_log: 1.0, r2_prior: 1.0, rmse_ms: 0.0, by_rpc: vec![1.0; 7] };
        Self {
            net: net(),
            quality,
            has_network_metrics: true,
            idle: None,
            unseen: None,
            is_deaf: false,
            believed: None,
            is_use: false,
            host: None,
            stall: [None; 4],
            limit: [0.0; 4],
            unheard: None,
            is_lossless: false,
            is_link: true,
            share: 1.0,
            busy: None,
        }
    }

    fn is_seen(&self, i: usize) -> bool {
        self.unheard.as_ref() != Some(&self.net.rpcs[i].key)
    }

    fn window<'a>(&self, frame: &'a Frame, i: usize) -> &'a RpcWindow {
        frame.rpc(&self.net.rpcs[i].key).unwrap()
    }

    /// What the callee of RPC `i` takes by itself.
    fn own(&self, frame: &Frame, i: usize) -> f64 {
        let children = self.net.rpcs[i].children.iter();
        let waits: f64 = children.map(|k| p99(self.window(frame, *k).client)).sum();
        p99(self.window(frame, i).server) - waits
    }

    /// How much of it the metrics explain.
    fn explained(&self, frame: &Frame, service: &str) -> f64 {
        let effective = SERVER_SIDE.iter().filter(|r| self.idle != Some(**r));
        effective.map(|r| level(frame, service, *r) - super::town::LEVEL).sum()
    }

    /// What nothing explains: the latent.
    fn unexplained(&self, frame: &Frame, i: usize) -> f64 {
        let service = &self.net.services[self.net.rpcs[i].callee];
        self.own(frame, i) - base(service) - self.explained(frame, service)
    }

    fn own_in(&self, frame: &Frame, normal: &Frame, query: &Query, i: usize) -> f64 {
        let j = self.net.rpcs[i].callee;
        let service = &self.net.services[j];
        let mut latent = self.unexplained(frame, i);
        let mut metrics: Vec<f64> = SERVER_SIDE.map(|r| level(frame, service, r)).to_vec();
        let restored: Vec<&Restore> = query.restore.iter().filter(|r| r.service == j).collect();
        let is_touched = restored.iter().any(|r| r.what != What::Network);
        for restore in restored {
            for (n, resource) in SERVER_SIDE.iter().enumerate() {
                let is_meant = match restore.what {
                    What::All | What::Server => true,
                    What::Resource(r) => r == *resource,
                    What::Network => false,
                };
                if is_meant {
                    metrics[n] = level(normal, service, *resource);
                }
            }
            let is_believed = self.believed == Some(&**service);
            if matches!(restore.what, What::All | What::Server) && !is_believed {
                latent = 0.0;
            }
        }
        if query.hypothesis == Hypothesis::BackPressure && !is_touched {
            latent = 0.0;
        }
        let effective = SERVER_SIDE.iter().zip(metrics).filter(|(r, _)| self.idle != Some(**r));
        base(service) + latent + effective.map(|(_, m)| m - super::town::LEVEL).sum::<f64>()
    }

    fn world(&self, frame: &Frame, normal: &Frame, query: &Query) -> Latencies {
        let mut world = Latencies {
            client: self.net.rpcs.iter().map(|r| frame.rpc(&r.key).unwrap().client).collect(),
            server: self.net.rpcs.iter().map(|r| frame.rpc(&r.key).unwrap().server).collect(),
        };
        if self.is_deaf {
            return world;
        }
        for &i in &self.net.order {
            let children = self.net.rpcs[i].children.iter();
            let waits: f64 = children.map(|k| p99(world.client[*k])).sum();
            let server = self.own_in(frame, normal, query, i) + waits;
            let is_net_restored = query.restore.iter().any(|r| r.nets.contains(&i));
            let delays = delay(self.window(if is_net_restored { normal } else { frame }, i));
            world.server[i] = percentiles(server);
            world.client[i] = percentiles(server + delays);
        }
        world
    }
}

impl Mechanism for Linear {
    fn net(&self) -> &CausalNet {
        &self.net
    }

    fn abduct<'a>(&'a self, frame: &'a Frame, normal: &'a Frame) -> Box<dyn Case + 'a> {
        Box::new(Seen { town: self, frame, normal })
    }

    fn quality(&self) -> &Quality {
        &self.quality
    }
}

/// A frame of that application.
#[derive(Debug)]
struct Seen<'a> {
    town: &'a Linear,
    frame: &'a Frame,
    normal: &'a Frame,
}

impl Case for Seen<'_> {
    fn answer(&self, queries: &[Query], rpcs: &[usize]) -> Vec<Latencies> {
        let of = |query: &Query| {
            let all = self.town.world(self.frame, self.normal, query);
            let pick = |of: Vec<Percentiles>| rpcs.iter().map(|i| of[*i]).collect();
            Latencies { client: pick(all.client), server: pick(all.server) }
        };
        queries.iter().map(of).collect()
    }

    fn situation(&self) -> Situation {
        let Self { town, frame, normal } = *self;
        let services = town.net.services.iter();
        let rises: Vec<[f64; 4]> = services
            .map(|s| {
                Resource::ALL.map(|r| {
                    let is_blind =
                        r == Resource::Network && (!town.has_network_metrics || town.is_lossless);
                    if is_blind { 0.0 } else { level(frame, s, r) - level(normal, s, r) }
                })
            })
            .collect();
        let most = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let of = |j: usize| town.net.served(j).map(value).fold(f64::NEG_INFINITY, f64::max);
            (0..town.net.services.len()).map(of).collect()
        };
        let features = |rise: &[f64; 4]| {
            let name = |r: Resource| {
                let metric = super::town::METRICS.iter().find(|m| m.1.resource() == Some(r));
                metric.unwrap().0.into()
            };
            Resource::ALL.map(|r| (name(r), r, rise[r.index()] / SIGMA)).to_vec()
        };
        let excess = |i: usize| town.own(frame, i) - town.own(normal, i);
        let lateness = |i: usize| delay(town.window(frame, i)) - delay(town.window(normal, i));
        Situation {
            own: rises
                .iter()
                .map(|z| Deviations {
                    z: z.map(|rise| rise / SIGMA),
                    amplitude: Resource::ALL.map(|r| {
                        let largest = if town.unseen == Some(r) { 6.0 } else { 20.0 };
                        z[r.index()] / largest
                    }),
                    stall: town.stall,
                    limit: town.limit,
                    share: [town.share; 4],
                })
                .collect(),
            hosts: vec![of_host(town.host); rises.len()],
            used: rises
                .iter()
                .map(|z| z.map(|rise| if town.is_use { rise / SIGMA } else { 0.0 }))
                .collect(),
            busy: vec![town.busy; rises.len()],
            features: rises.iter().map(features).collect(),
            has_network_metrics: vec![town.has_network_metrics; town.net.services.len()],
            slowness: most(&|i| excess(i) / SIGMA),
            latents: most(&|i| town.unexplained(frame, i).abs() / SIGMA),
            delays: (0..town.net.rpcs.len())
                .map(|i| town.is_seen(i).then(|| lateness(i) / DELAY_SIGMA))
                .map(|z| z.map(|z| Delay { all: z, link: if town.is_link { z } else { 0.0 } }))
                .collect(),
        }
    }
}

fn of_host(host: Option<(Resource, f64)>) -> Deviations {
    let mut deviations = Deviations::default();
    if let Some((resource, z)) = host {
        deviations.add(resource, z, z / 10.0, 1.0);
    }
    deviations
}
