//! Abduction: what the latents must have been, given everything observed in one frame.

use super::dataset::levels;
use super::features::Inputs;
use super::gvae::{LATENTS, NET_ENCODER_IN, SERVER_ENCODER_IN};
use super::infer::{Evaluator, Gaussian, Levels, NetInputs, Tier, concat};
use super::layout::{Kind, LEVEL_COUNT, Observed, mean_ms};
use super::loss::RESIDUAL;

/// Prior and posterior of one latent.
#[derive(Clone, Copy, Debug)]
pub struct Latent {
    /// Given the metrics.
    pub prior: Gaussian,
    /// Given metrics and latencies.
    pub posterior: Gaussian,
}

/// A frame and its latents.
#[derive(Clone, Debug)]
pub struct Abducted {
    /// What was seen.
    pub observed: Observed,
    /// Metric inputs, with latents at the posterior mean.
    pub tiers: Vec<Tier>,
    /// Latents of services.
    pub server: Vec<Latent>,
    /// Latents of networks; `None` for RPCs without one.
    pub net: Vec<Option<Latent>>,
}

/// What metrics and callees leave unexplained of every RPC, with its parents as observed.
struct Residuals {
    server: Vec<Levels>,
    client: Vec<Option<Levels>>,
}

impl Evaluator {
    /// Infers the latents of one frame: as the encoders guess them, those of services then moved to
    /// where they are most probable.
    pub fn abduct(&self, observed: Observed, inputs: &Inputs) -> Abducted {
        let mut all = self.encode(observed, inputs);
        for j in 0..all.server.len() {
            let Latent { prior, posterior } = &all.server[j];
            let z = self.most_probable(j, &all.observed, &all.tiers, prior, posterior.mean);
            (all.server[j].posterior.mean, all.tiers[j].latent) = (z, z);
        }
        all
    }

    /// The encoders' guess: first what metrics and callees leave unexplained, then the encoders on that.
    pub(super) fn encode(&self, observed: Observed, inputs: &Inputs) -> Abducted {
        let mut tiers = self.tiers(inputs);
        let priors: Vec<Gaussian> =
            tiers.iter().enumerate().map(|(j, tier)| self.prior_server(j, tier)).collect();
        for (tier, prior) in tiers.iter_mut().zip(&priors) {
            tier.latent = prior.mean;
        }
        let rest = self.residuals(&observed, &tiers);
        let server = |(j, prior)| {
            let posterior = self.encode_server(j, &tiers[j], &prior, &rest);
            Latent { prior, posterior }
        };
        let server: Vec<Latent> = priors.into_iter().enumerate().map(server).collect();
        let net = (0..self.layout.callee.len())
            .map(|i| self.has_net(i).then(|| self.abduct_net(i, &observed, &tiers)))
            .collect();
        for (tier, latent) in tiers.iter_mut().zip(&server) {
            tier.latent = latent.posterior.mean;
        }
        Abducted { observed, tiers, server, net }
    }

    fn residuals(&self, observed: &Observed, tiers: &[Tier]) -> Residuals {
        let server =
            |i| unexplained(observed, Kind::Server, i, &self.predict_server(i, observed, tiers));
        let client = |i| {
            let predicted = self.predict_client(i, observed, tiers)?;
            Some(unexplained(observed, Kind::Client, i, &predicted))
        };
        let all = 0..self.layout.callee.len();
        Residuals { server: all.clone().map(server).collect(), client: all.map(client).collect() }
    }

    /// Server latency of RPC `i` with its children as observed.
    pub fn predict_server(&self, i: usize, observed: &Observed, tiers: &[Tier]) -> Levels {
        let caller = self.layout.caller[i].map(|a| &tiers[a]);
        self.predict_server_of(i, observed, &tiers[self.layout.callee[i]], caller)
    }

    /// The same with the two tiers given.
    pub(super) fn predict_server_of(
        &self,
        i: usize,
        observed: &Observed,
        callee: &Tier,
        caller: Option<&Tier>,
    ) -> Levels {
        let client = |k| levels(observed, Kind::Client, k);
        let clients: Vec<Levels> = self.children(i).map(client).collect();
        let pool_ms = self.layout.pool_ms(i, |k| mean_ms(&client(k)));
        let inputs = self.server_inputs(i, callee, caller, &clients, pool_ms);
        self.decode_server(i, &[inputs], observed.ceiling)[0]
    }

    /// Client latency of RPC `i` with its parts as observed; `None` without a client decoder.
    pub fn predict_client(&self, i: usize, observed: &Observed, tiers: &[Tier]) -> Option<Levels> {
        if !self.has_client(i) {
            return None;
        }
        let parts = [Kind::Request, Kind::Response, Kind::Server].map(|k| levels(observed, k, i));
        let inputs = self.client_inputs(i, &tiers[self.layout.caller[i]?], &parts);
        Some(self.decode_client(i, &[inputs], observed.ceiling)[0])
    }

    fn encode_server(&self, j: usize, tier: &Tier, prior: &Gaussian, rest: &Residuals) -> Gaussian {
        let served = || self.served[j].iter().map(|i| &rest.server[*i]);
        let invoked = || self.invoked[j].iter().filter_map(|i| rest.client[*i].as_ref());
        let most = match self.served[j].is_empty() {
            true => Levels::default(),
            false => served().fold([f32::NEG_INFINITY; LEVEL_COUNT], |most, levels| {
                std::array::from_fn(|q| most[q].max(levels[q]))
            }),
        };
        let x: [f32; SERVER_ENCODER_IN] =
            concat(&[&tier.server, &[tier.load], &mean(served()), &most, &mean(invoked())]);
        self.network.encoder_server.gaussian(j, &x).about(prior)
    }

    /// Latents of the network of RPC `i`, which must be paired.
    fn abduct_net(&self, i: usize, observed: &Observed, tiers: &[Tier]) -> Latent {
        let x: NetInputs = self.net_inputs(i, |j| tiers[j]);
        let prior = self.prior_net(i, &x);
        let [request, response] = self.decode_net(i, &x, &prior.mean, observed.ceiling);
        let rest = [(Kind::Request, request), (Kind::Response, response)]
            .map(|(kind, predicted)| unexplained(observed, kind, i, &predicted));
        let x: [f32; NET_ENCODER_IN] = concat(&[&x, &rest[0], &rest[1]]);
        let posterior = self.network.encoder_net.gaussian(self.paired_place(i), &x).about(&prior);
        Latent { prior, posterior }
    }
}

/// What a prediction misses of the observed; nothing where nothing was seen.
fn unexplained(observed: &Observed, kind: Kind, i: usize, predicted: &Levels) -> Levels {
    if !observed.seen[i] {
        return Levels::default();
    }
    let seen = levels(observed, kind, i);
    std::array::from_fn(|q| (seen[q] - predicted[q]).clamp(RESIDUAL.0, RESIDUAL.1))
}

impl Gaussian {
    /// What an encoder says is a correction of the prior.
    fn about(self, prior: &Gaussian) -> Self {
        Self { mean: std::array::from_fn(|n| self.mean[n] + prior.mean[n]), ..self }
    }
}

impl Abducted {
    /// Service `j` as seen, with latents at the prior mean.
    pub fn prior_tier(&self, j: usize) -> Tier {
        Tier { latent: self.server[j].prior.mean, ..self.tiers[j] }
    }

    /// All services so.
    pub fn prior_tiers(&self) -> Vec<Tier> {
        (0..self.tiers.len()).map(|j| self.prior_tier(j)).collect()
    }
}

impl Latent {
    /// RMS distance of posterior from prior, in prior deviations.
    pub fn shift(&self) -> f64 {
        let mut sum = 0.0;
        for n in 0..LATENTS {
            let distance = self.posterior.mean[n] - self.prior.mean[n];
            sum += f64::from(distance / self.prior.log_sigma[n].exp()).powi(2);
        }
        (sum / LATENTS as f64).sqrt()
    }
}

fn mean<'a>(all: impl Iterator<Item = &'a Levels>) -> Levels {
    let mut sum = Levels::default();
    let mut count = 0usize;
    for levels in all {
        count += 1;
        sum = std::array::from_fn(|q| sum[q] + levels[q]);
    }
    sum.map(|s| s / count.max(1) as f32)
}

const _: () = assert!(LEVEL_COUNT == 5, "the contract of the API has five levels");
