//! What can be asked of any model of a causal net. Diagnosis knows this trait and nothing else of
//! a model; tests answer it with exact linear mechanisms.

use serde::{Deserialize, Serialize};

use super::net::CausalNet;
use crate::data::{Frame, Name, Percentiles, Resource};

/// Which of a service's causes are set to their normal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// All metrics and latents of the service, and the network of the RPCs given beside it.
    All,
    /// The server side only: X^s and Z^s.
    Server,
    /// The network only: X^net and Z^net of the RPCs given beside it.
    Network,
    /// The metrics of one server-side resource; the latents move along as their prior does.
    Resource(Resource),
}

/// One intervention.
#[derive(Clone, Debug, PartialEq)]
pub struct Restore {
    /// Service whose causes are restored.
    pub service: usize,
    /// Which of them.
    pub what: What,
    /// RPCs whose network is restored along.
    pub nets: Vec<usize>,
}

/// What the latents of services that are not restored do under an intervention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypothesis {
    /// They stay as abducted: what is unexplained about a service is its own.
    Keep,
    /// They are what the metrics predict: what is unexplained about a service is pressure from
    /// below and goes away with its cause.
    BackPressure,
}

/// A counterfactual query: "had these been normal".
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Interventions, all at once.
    pub restore: Vec<Restore>,
    /// About everything else.
    pub hypothesis: Hypothesis,
    /// Seed with which the latents of what is restored are drawn from their prior; `None`: they are the
    /// prior's mean.
    pub draw: Option<u64>,
}

/// Latencies of the RPCs that were asked for, in that order, milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    /// Client side, Y^c.
    pub client: Vec<Percentiles>,
    /// Server side, Y^s.
    pub server: Vec<Percentiles>,
}

/// Robust z-score up to which lost time is as usual.
const STALLED: f64 = 3.0;

/// How far the resources of a service are from normal, in the order of [`Resource::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deviations {
    /// Robust z-scores.
    pub z: [f64; 4],
    /// In units of what faults anywhere do to such a metric.
    pub amplitude: [f64; 4],
    /// Robust z-scores of the time lost for want of each, where that is measured.
    pub stall: [Option<f64>; 4],
    /// The loudest metric's level as a share of the highest that the service has shown.
    pub share: [f64; 4],
    /// Robust z-scores of how often a limit of each was hit.
    pub limit: [f64; 4],
}

impl Deviations {
    /// Takes in what one metric of `resource` says: the loudest counts.
    pub fn add(&mut self, resource: Resource, z: f64, amplitude: f64, share: f64) {
        let r = resource.index();
        if z > self.z[r] {
            (self.z[r], self.share[r]) = (z, share);
        }
        self.amplitude[r] = self.amplitude[r].max(amplitude);
    }

    /// Nobody goes without what nobody waits for more than usual, whatever else is counted: a program that starts
    /// is read from disk page by page, and a cache may use all it is given.
    pub fn heed_stalls(&mut self) {
        for (r, stall) in self.stall.iter().enumerate() {
            if let Some(z) = stall.filter(|z| *z <= STALLED) {
                (self.z[r], self.amplitude[r]) = (z.max(0.0), 0.0);
            }
        }
    }

    /// Takes in how much more often than usual a limit of `resource` was hit.
    pub fn add_limit(&mut self, resource: Resource, z: f64) {
        let limit = &mut self.limit[resource.index()];
        *limit = limit.max(z);
    }

    /// Takes in how much more time than usual is lost for want of `resource`.
    pub fn add_stall(&mut self, resource: Resource, z: f64) {
        let stall = &mut self.stall[resource.index()];
        *stall = Some(stall.map_or(z, |other| other.max(z)));
    }
}

/// How far one interval is from normal, before any counterfactual.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Situation {
    /// How far each resource of each service is from normal, by the service's own metrics, as far as
    /// those are causes rather than effects.
    pub own: Vec<Deviations>,
    /// The same by metrics of the hosts it runs on, which it shares with others.
    pub hosts: Vec<Deviations>,
    /// Robust z-scores of what each service uses of each resource beyond what its load and its work in flight
    /// explain: by its own metrics of use. Zero where others tell whether there is a shortage.
    pub used: Vec<[f64; 4]>,
    /// How far each service's own use of processors is beyond all that calm has shown, in log units; `None` where that
    /// is not measured, or where a metric of shortage is, other than use as a share of a limit.
    pub busy: Vec<Option<f64>>,
    /// Robust z-score of every usable feature of each service.
    pub features: Vec<Vec<(Name, Resource, f64)>>,
    /// Whether any network metric exists for the service.
    pub has_network_metrics: Vec<bool>,
    /// Robust z-score of how slow each service is by itself, given its callees.
    pub slowness: Vec<f64>,
    /// RMS distance of each service's latents from what its metrics predict, in prior deviations.
    pub latents: Vec<f64>,
    /// How late each RPC is between its spans; `None` where no request was seen.
    pub delays: Vec<Option<Delay>>,
}

/// Robust z-scores of request + response delay of an RPC, without waiting that something below its callee causes. Where
/// only the caller sends spans: of all that the callee's normal self does not explain, because link and callee are told
/// apart by nobody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// Of all of it.
    pub all: f64,
    /// Without what comes and goes on the way to the callee only, as waiting for a worker does.
    pub link: f64,
}

/// Goodness of fit on intervals the model was not trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// R² of reconstructed server-side latencies, in milliseconds.
    pub r2: f64,
    /// The same in log space.
    pub r2_log: f64,
    /// In log space, from the prior: metrics and callees alone explain this much.
    pub r2_prior: f64,
    /// RMSE, milliseconds.
    pub rmse_ms: f64,
    /// R² in log space by RPC index.
    pub by_rpc: Vec<f64>,
}

/// A model of a causal net.
pub trait Mechanism: Send + Sync + std::fmt::Debug {
    /// The net it is a model of.
    fn net(&self) -> &CausalNet;

    /// Abduction: what must have been the case in `frame`. `normal` holds the normal value of
    /// everything measured.
    fn abduct<'a>(&'a self, frame: &'a Frame, normal: &'a Frame) -> Box<dyn Case + 'a>;

    /// The same for several frames, with what is normal looked at once.
    fn abduct_all<'a>(
        &'a self,
        frames: &[&'a Frame],
        normal: &'a Frame,
    ) -> Vec<Box<dyn Case + 'a>> {
        frames.iter().map(|frame| self.abduct(frame, normal)).collect()
    }

    /// Goodness of fit.
    fn quality(&self) -> &Quality;
}

/// One frame, abducted: whatever can be asked about it.
pub trait Case: Send + Sync + std::fmt::Debug {
    /// Action and prediction for every query at once: the latencies of `rpcs` in its world.
    fn answer(&self, queries: &[Query], rpcs: &[usize]) -> Vec<Latencies>;

    /// How far the frame is from normal.
    fn situation(&self) -> Situation;
}
