//! The evaluator that answers questions computes what burn trained.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array3;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::town::{Town, mixed};
use crate::model::abduct::Abducted;
use crate::model::dataset::{Tensors, levels};
use crate::model::features::FeatureModel;
use crate::model::gvae::{Gvae, Latents, Predicted};
use crate::model::index::Index;
use crate::model::infer::Evaluator;
use crate::model::layout::{Kind, LEVEL_COUNT, Layout};
use crate::model::loss::residual;
use crate::model::network::Network;
use crate::model::part::Part;

/// Adds noise to every parameter, so that no part of a network is silent.
struct Shake<'a>(&'a mut SmallRng);

impl ModuleMapper for Shake<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|t| {
            let (dims, device) = (t.dims(), t.device());
            let count = dims.iter().product();
            let noise: Vec<f32> = (0..count).map(|_| self.0.random_range(-0.4..0.4)).collect();
            t + Tensor::from_data(TensorData::new(noise, dims), &device)
        })
    }
}

/// Networks with random weights, one per node, and what they are about.
pub(super) struct Shaken {
    pub(super) town: Town,
    pub(super) features: FeatureModel,
    pub(super) layout: Layout,
    pub(super) gvae: Gvae,
    pub(super) device: Device,
}

impl Shaken {
    pub(super) fn new(town: Town, seed: u64) -> Self {
        let frames = town.frames();
        let features = FeatureModel::fit(&frames, &town.met, &town.net).unwrap();
        let layout = Layout::new(&town.net, &frames, &town.met);
        let device = Device::flex();
        let mut rng = SmallRng::seed_from_u64(seed);
        let fresh = Gvae::new(&layout, &mut rng, &device.clone().autodiff());
        let gvae = fresh.untied(&layout).valid().map(&mut Shake(&mut rng));
        Self { town, features, layout, gvae, device }
    }

    pub(super) fn evaluator(&self) -> Evaluator {
        Evaluator::new(Network::from(&self.gvae), self.layout.clone())
    }

    /// What the evaluator makes of frame `t`.
    pub(super) fn encode(&self, evaluator: &Evaluator, t: usize) -> Abducted {
        let (frame, net) = (&self.town.frames[t], &self.town.net);
        let inputs = self.features.inputs(frame, net);
        evaluator.encode(self.layout.observe(frame, net), &inputs)
    }

    /// The same, moved to where it is most probable.
    pub(super) fn abduct(&self, evaluator: &Evaluator, t: usize) -> Abducted {
        let (frame, net) = (&self.town.frames[t], &self.town.net);
        evaluator.abduct(self.layout.observe(frame, net), &self.features.inputs(frame, net))
    }
}

/// A tensor of burn as an array: `[node, value, frame]`.
fn array(t: &Tensor<3>) -> Array3<f32> {
    let values = t.clone().into_data().try_to_vec::<f32>().unwrap();
    Array3::from_shape_vec(t.dims(), values).unwrap()
}

/// Values `from..from + mine.len()` of a node in frame `t`.
#[track_caller]
fn assert_near(
    what: &str,
    mine: &[f32],
    burn: &Array3<f32>,
    (node, from, t): (usize, usize, usize),
) {
    for (q, value) in mine.iter().enumerate() {
        let other = burn[[node, from + q, t]];
        let limit = 1e-4 * (1.0 + other.abs());
        assert!(
            (value - other).abs() <= limit,
            "{what} {q} of node {node} in frame {t}: {value} is not {other}"
        );
    }
}

/// Everything burn computes about all frames at once.
struct Batch {
    prior: [Array3<f32>; 4],
    posterior: [Array3<f32>; 4],
    predicted: [Array3<f32>; 3],
}

fn batch(s: &Shaken) -> Batch {
    let frames = s.town.frames();
    let data = Tensors::new(&frames, &s.town.net, &s.layout, &s.features, &s.device);
    let index = Index::new(&s.layout, &Part::whole(&s.layout), &s.device);
    let prior = s.gvae.prior(&index, &data);
    let rest = residual(&s.gvae, &index, &data);
    let posterior = s.gvae.posterior(&index, &data, &prior, &rest);
    let z = Latents { server: posterior.server.0.clone(), net: posterior.net.0.clone() };
    let Predicted { server, client, delays } = s.gvae.decode(&index, &data, &z);
    let all = |g: &crate::model::gvae::Gaussians| {
        [&g.server.0, &g.server.1, &g.net.0, &g.net.1].map(array)
    };
    Batch {
        prior: all(&prior),
        posterior: all(&posterior),
        predicted: [&server, &client, &delays].map(array),
    }
}

#[test]
fn priors_and_encoders_agree_with_burn_on_random_weights() {
    for seed in [1, 2, 3] {
        let s = Shaken::new(mixed(10, seed), seed);
        let (evaluator, burn) = (s.evaluator(), batch(&s));
        for t in 0..s.town.frames.len() {
            let seen = s.encode(&evaluator, t);
            for (j, z) in seen.server.iter().enumerate() {
                let at = (j, 0, t);
                assert_near("prior mean", &z.prior.mean, &burn.prior[0], at);
                assert_near("prior ln sigma", &z.prior.log_sigma, &burn.prior[1], at);
                assert_near("posterior mean", &z.posterior.mean, &burn.posterior[0], at);
                assert_near("posterior sigma", &z.posterior.log_sigma, &burn.posterior[1], at);
            }
            for (p, i) in s.layout.paired.iter().enumerate() {
                let z = seen.net[*i].as_ref().unwrap();
                let at = (p, 0, t);
                assert_near("net prior mean", &z.prior.mean, &burn.prior[2], at);
                assert_near("net prior sigma", &z.prior.log_sigma, &burn.prior[3], at);
                assert_near("net posterior mean", &z.posterior.mean, &burn.posterior[2], at);
                assert_near("net posterior sigma", &z.posterior.log_sigma, &burn.posterior[3], at);
            }
        }
    }
}

#[test]
fn decoders_agree_with_burn_on_random_weights() {
    for seed in [4, 5, 6] {
        let s = Shaken::new(mixed(10, seed), seed);
        let (evaluator, burn) = (s.evaluator(), batch(&s));
        for t in 0..s.town.frames.len() {
            let seen = s.encode(&evaluator, t);
            for i in 0..s.layout.callee.len() {
                let server = evaluator.predict_server(i, &seen.observed, &seen.tiers);
                assert_near("server", &server, &burn.predicted[0], (i, 0, t));
            }
            for (c, i) in s.layout.clients.iter().enumerate() {
                let client = evaluator.predict_client(*i, &seen.observed, &seen.tiers).unwrap();
                assert_near("client", &client, &burn.predicted[1], (c, 0, t));
            }
            for (p, i) in s.layout.paired.iter().enumerate() {
                let x = evaluator.net_inputs(*i, |j| seen.tiers[j]);
                let z = &seen.net[*i].as_ref().unwrap().posterior.mean;
                let [request, response] = evaluator.decode_net(*i, &x, z, seen.observed.ceiling);
                assert_near("request", &request, &burn.predicted[2], (p, 0, t));
                assert_near("response", &response, &burn.predicted[2], (p, LEVEL_COUNT, t));
            }
        }
    }
}

/// One network for all nodes and a copy of it for each give the same.
#[test]
fn networks_of_each_nodes_own_begin_as_the_shared_ones() {
    let town = mixed(10, 7);
    let s = Shaken::new(town, 7);
    let mut rng = SmallRng::seed_from_u64(7);
    let shared = Gvae::new(&s.layout, &mut rng, &s.device.clone().autodiff());
    let own = shared.clone().untied(&s.layout).valid();
    let index = Index::new(&s.layout, &Part::whole(&s.layout), &s.device);
    let frames = s.town.frames();
    let data = Tensors::new(&frames, &s.town.net, &s.layout, &s.features, &s.device);
    let of = |gvae: &Gvae| {
        let prior = gvae.prior(&index, &data);
        let z = Latents { server: prior.server.0, net: prior.net.0 };
        let Predicted { server, client, delays } = gvae.decode(&index, &data, &z);
        [&server, &client, &delays].map(array)
    };
    for (a, b) in of(&shared.valid()).iter().zip(&of(&own)) {
        let furthest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 1e-4, "{furthest}");
    }
}

/// The structure says that a caller waits: a child that takes much longer shows in its parent,
/// whatever the weights, and however much longer than anything that was learnt from.
#[test]
fn a_parent_is_never_much_faster_than_what_it_waits_for() {
    let s = Shaken::new(mixed(10, 8), 8);
    let evaluator = s.evaluator();
    let seen = s.encode(&evaluator, 0);
    for edge in &s.layout.edges {
        let mut late = seen.observed.clone();
        let child = s.layout.ceiling + 3.0;
        late.ceiling = child + 0.5;
        late.latency.slice_mut(ndarray::s![1, edge.child, ..]).fill(child);
        let parent = evaluator.predict_server(edge.parent, &late, &seen.tiers);
        // At the tail, where even a child of every second request shows.
        assert!(parent[LEVEL_COUNT - 1] > child - 0.2, "{edge:?}: {parent:?}");
    }
}

/// Whatever the encoders guess, what is most probable explains the latencies better.
#[test]
fn latents_are_moved_to_where_they_explain_more() {
    let s = Shaken::new(mixed(10, 7), 7);
    let evaluator = s.evaluator();
    let missed = |seen: &Abducted| -> f32 {
        let of = |i: usize| {
            let predicted = evaluator.predict_server(i, &seen.observed, &seen.tiers);
            let observed = levels(&seen.observed, Kind::Server, i);
            predicted.iter().zip(observed).map(|(p, o)| (p - o).abs()).sum::<f32>()
        };
        (0..s.layout.callee.len()).filter(|i| seen.observed.seen[*i]).map(of).sum()
    };
    let (mut found, mut guessed) = (0.0, 0.0);
    for t in 0..s.town.frames.len() {
        let seen = s.abduct(&evaluator, t);
        assert_eq!(seen.tiers[0].latent, seen.server[0].posterior.mean);
        found += missed(&seen);
        guessed += missed(&s.encode(&evaluator, t));
    }
    assert!(found < 0.9 * guessed, "{found} of {guessed}");
}
