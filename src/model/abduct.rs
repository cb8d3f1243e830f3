//! Abduction: what the latents must have been, given everything observed in one frame.

use ndarray::Array1;

use super::dataset::levels;
use super::features::Inputs;
use super::gvae::LATENTS;
use super::infer::{Evaluator, Gaussian, Levels, Tier};
use super::layout::{Kind, LEVEL_COUNT, Observed};
use super::loss::RESIDUAL;

/// Prior and posterior of one latent.
#[derive(Clone, Debug)]
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

/// Predictions for every RPC with its parents as observed.
struct Residuals {
    server: Vec<Levels>,
    client: Vec<Option<Levels>>,
    delays: Vec<Option<[Levels; 2]>>,
}

impl Evaluator {
    /// Infers the latents of one frame: first what metrics and callees leave unexplained, then the
    /// encoders on that.
    pub fn abduct(&self, observed: Observed, inputs: &Inputs) -> Abducted {
        let mut tiers = self.tiers(inputs);
        let priors: Vec<Gaussian> = tiers
            .iter()
            .enumerate()
            .map(|(j, t)| self.prior_server(j, &t.server, t.load))
            .collect();
        for (tier, prior) in tiers.iter_mut().zip(&priors) {
            tier.latent = prior.mean.clone();
        }
        let net_priors: Vec<Option<Gaussian>> = (0..self.layout.callee.len())
            .map(|i| self.has_net(i).then(|| self.prior_net(i, &self.net_inputs(i, &tiers))))
            .collect();
        let rest = self.residuals(&observed, &tiers, &net_priors);
        let server: Vec<Latent> = priors
            .into_iter()
            .enumerate()
            .map(|(j, prior)| Latent {
                posterior: self.encode_server(j, &tiers[j], &prior, &rest),
                prior,
            })
            .collect();
        let net = net_priors
            .into_iter()
            .enumerate()
            .map(|(i, prior)| {
                let prior = prior?;
                let x = self.net_inputs(i, &tiers);
                let posterior = self.encode_net(i, &x, &prior, rest.delays[i].as_ref()?);
                Some(Latent { prior, posterior })
            })
            .collect();
        for (tier, latent) in tiers.iter_mut().zip(&server) {
            tier.latent = latent.posterior.mean.clone();
        }
        Abducted { observed, tiers, server, net }
    }

    fn residuals(
        &self,
        observed: &Observed,
        tiers: &[Tier],
        net: &[Option<Gaussian>],
    ) -> Residuals {
        let layout = &self.layout;
        let seen = |kind: Kind, i: usize| levels(observed, kind, i);
        let rest = |i: usize, predicted: &Levels, kind: Kind| -> Levels {
            let observed_levels = seen(kind, i);
            std::array::from_fn(|q| {
                if observed.seen[i] {
                    (observed_levels[q] - predicted[q]).clamp(RESIDUAL.0, RESIDUAL.1)
                } else {
                    0.0
                }
            })
        };
        let count = layout.callee.len();
        let server = |i: usize| rest(i, &self.predict_server(i, observed, tiers), Kind::Server);
        let client =
            |i: usize| Some(rest(i, &self.predict_client(i, observed, tiers)?, Kind::Client));
        let delays = |i: usize| {
            let x = self.net_inputs(i, tiers);
            let [request, response] = self.decode_net(i, &x, &net[i].as_ref()?.mean);
            Some([rest(i, &request, Kind::Request), rest(i, &response, Kind::Response)])
        };
        Residuals {
            server: (0..count).map(server).collect(),
            client: (0..count).map(client).collect(),
            delays: (0..count).map(delays).collect(),
        }
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
        let inputs = self.server_inputs(i, callee, caller, |k| levels(observed, Kind::Client, k));
        self.decode_server(i, std::slice::from_ref(&inputs))[0]
    }

    /// Client latency of RPC `i` with its parts as observed; `None` without a client decoder.
    pub fn predict_client(&self, i: usize, observed: &Observed, tiers: &[Tier]) -> Option<Levels> {
        if !self.has_client(i) {
            return None;
        }
        let parts = [Kind::Request, Kind::Response, Kind::Server].map(|k| levels(observed, k, i));
        let inputs = self.client_inputs(i, &tiers[self.layout.caller[i]?], &parts);
        Some(self.decode_client(i, std::slice::from_ref(&inputs))[0])
    }

    fn encode_server(&self, j: usize, tier: &Tier, prior: &Gaussian, rest: &Residuals) -> Gaussian {
        let layout = &self.layout;
        let served: Vec<&Levels> = (0..layout.callee.len())
            .filter(|i| layout.callee[*i] == j)
            .map(|i| &rest.server[i])
            .collect();
        let invoked: Vec<&Levels> = layout
            .clients
            .iter()
            .filter(|i| layout.caller[**i] == Some(j))
            .filter_map(|i| rest.client[*i].as_ref())
            .collect();
        let most = match served.is_empty() {
            true => Levels::default(),
            false => fold(&served, f32::NEG_INFINITY, f32::max),
        };
        let mut x: Vec<f32> = tier.server.to_vec();
        x.push(tier.load);
        x.extend(mean(&served));
        x.extend(most);
        x.extend(mean(&invoked));
        let (mean, log_sigma) = self.network.encoder_server.gaussian(j, &Array1::from(x));
        Gaussian { mean: mean + &prior.mean, log_sigma }
    }

    fn encode_net(
        &self,
        i: usize,
        inputs: &Array1<f32>,
        prior: &Gaussian,
        rest: &[Levels; 2],
    ) -> Gaussian {
        let mut x: Vec<f32> = inputs.to_vec();
        x.extend(rest.iter().flatten());
        let place = self.paired_place(i);
        let (mean, log_sigma) = self.network.encoder_net.gaussian(place, &Array1::from(x));
        Gaussian { mean: mean + &prior.mean, log_sigma }
    }
}

impl Abducted {
    /// The tiers as seen, with latents at the prior mean.
    pub fn prior_tiers(&self) -> Vec<Tier> {
        let mut tiers = self.tiers.clone();
        for (tier, latent) in tiers.iter_mut().zip(&self.server) {
            tier.latent = latent.prior.mean.clone();
        }
        tiers
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

fn fold(all: &[&Levels], start: f32, f: impl Fn(f32, f32) -> f32) -> Levels {
    std::array::from_fn(|q| all.iter().map(|l| l[q]).fold(start, &f))
}

fn mean(all: &[&Levels]) -> Levels {
    let sum = fold(all, 0.0, |a, b| a + b);
    sum.map(|s| s / all.len().max(1) as f32)
}

const _: () = assert!(LEVEL_COUNT == 5, "the contract of the API has five levels");
