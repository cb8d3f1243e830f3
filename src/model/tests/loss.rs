//! The loss by hand-computed numbers: equations 6 to 8 with every network silenced, so that only
//! biases speak.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::data::{EventTime, Frame, Interval, Percentiles, RpcKey, RpcKind, RpcWindow};
use crate::graph::{CausalNet, RpcGraph};
use crate::model::dataset::Tensors;
use crate::model::features::FeatureModel;
use crate::model::gvae::{Gvae, LATENTS};
use crate::model::index::Index;
use crate::model::layout::{Layout, log_ms};
use crate::model::loss::{SIGMA, hybrid_loss};
use crate::model::part::Part;
use crate::model::stack::Stack;

/// One service with one RPC from outside that takes 100 ms; it may be absent.
fn frame(n: i64, is_seen: bool) -> Frame {
    let latency = Percentiles::flat(100.0);
    let rpc = RpcWindow {
        key: RpcKey::new("user", "", "a", "op"),
        kind: RpcKind::ServerOnly,
        count: 10,
        failed: 0,
        seen_ratio: 1.0,
        client: latency,
        server: latency,
        request: Percentiles::default(),
        response: Percentiles::default(),
    };
    Frame {
        interval: Interval { start: EventTime(n), end: EventTime(n + 1) },
        rpcs: if is_seen { vec![rpc] } else { vec![] },
        services: vec![],
        completeness: 1.0,
        replicas: vec![],
    }
}

/// A stack that answers `biases` whatever it is asked.
fn constant(like: &Stack, biases: &[f32], device: &Device) -> Stack {
    let mut layers = like.layers();
    for (w, b) in &mut layers {
        *w = w.zeros_like();
        *b = b.zeros_like();
    }
    let last = layers.len() - 1;
    let data = TensorData::new(biases.to_vec(), [1, biases.len(), 1]);
    layers[last].1 = Tensor::from_data(data, device);
    Stack::from_layers(layers)
}

/// Mean and log deviation of a latent.
type Normal = (f32, f32);

/// The loss when the RPC is predicted `sigmas` standard deviations too fast. `prior` is that of the
/// service, `shift` the encoder's correction of its mean and its own log deviation.
fn loss(frames: &[Frame], sigmas: f32, prior: Normal, shift: Normal, weights: (f64, f64)) -> f32 {
    let net = CausalNet::new(&RpcGraph::from_edges([(
        frame(0, true).rpcs[0].key.clone(),
        RpcKind::ServerOnly,
    )]));
    let frames: Vec<&Frame> = frames.iter().collect();
    let met = vec![true; frames.len()];
    let features = FeatureModel::fit(&frames, &met, &net).unwrap();
    let layout = Layout::new(&net, &frames, &met);
    let device = Device::flex();
    let tracking = device.clone().autodiff();
    let mut model = Gvae::new(&layout, &mut SmallRng::seed_from_u64(1), &tracking);
    let both = |(mean, log_sigma): Normal| [[mean; LATENTS], [log_sigma; LATENTS]].concat();
    model.prior_server = constant(&model.prior_server, &both(prior), &tracking);
    model.encoder_server = constant(&model.encoder_server, &both(shift), &tracking);
    // There is no network: its prior and encoder agree.
    model.prior_net = constant(&model.prior_net, &both((0.0, 0.0)), &tracking);
    model.encoder_net = constant(&model.encoder_net, &both((0.0, 0.0)), &tracking);
    model.decoder_server = constant(&model.decoder_server, &[0.0; 5], &tracking);
    let own = vec![log_ms(100.0) - sigmas * SIGMA; 5];
    model.own_server =
        Param::from_tensor(Tensor::from_data(TensorData::new(own, [1, 5, 1]), &tracking));
    let data = Tensors::new(&frames, &net, &layout, &features, &device);
    let index = Index::new(&layout, &Part::whole(&layout), &device);
    hybrid_loss(
        &model,
        &model.valid(),
        (&index.tracked(), &index),
        (&data.tracked(), &data),
        weights,
        &mut SmallRng::seed_from_u64(2),
    )
    .total
    .into_scalar()
}

#[track_caller]
fn assert_near(got: f32, want: f32) {
    assert!((got - want).abs() < 1e-3 * (1.0 + want.abs()), "{got} is not {want}");
}

const STANDARD: Normal = (0.0, 0.0);

/// Half the square within three deviations, three times the distance less 4.5 beyond.
#[test]
fn huber_grows_as_the_square_near_by_and_linearly_far_off() {
    let of = |sigmas| loss(&[frame(0, true)], sigmas, STANDARD, STANDARD, (1.0, 0.0));
    assert_near(of(0.0), 0.0);
    assert_near(of(1.0), 0.5);
    assert_near(of(2.0), 2.0);
    assert_near(of(3.0), 4.5);
    assert_near(of(5.0), 3.0 * 5.0 - 4.5);
    assert_near(of(20.0), 3.0 * 20.0 - 4.5);
}

#[test]
fn an_interval_without_the_rpc_costs_nothing_but_still_counts_as_one() {
    let frames = [frame(0, true), frame(1, false)];
    assert_near(loss(&frames, 5.0, STANDARD, STANDARD, (1.0, 0.0)), 10.5 / 2.0);
}

/// KL of two normals: ln(sp / sq) + (sq^2 + d^2) / (2 sp^2) - 1/2, for each of the latents.
#[test]
fn the_divergence_is_that_of_two_normals() {
    let latents = LATENTS as f32;
    let of = |prior, shift| loss(&[frame(0, true)], 0.0, prior, shift, (1.0, 1.0));
    assert_near(of(STANDARD, STANDARD), 0.0);
    // Same deviation, means 1 apart: 1/2.
    assert_near(of((7.0, 0.0), (1.0, 0.0)), latents * 0.5);
    // Half as wide: ln 2 + 1/8 - 1/2.
    let half = 0.5f32.ln();
    assert_near(of((0.0, 0.0), (0.0, half)), latents * (std::f32::consts::LN_2 - 0.375));
    // Twice as wide as a prior of deviation 2 ln, and 3 apart.
    let (sp, sq, d) = (2.0f32, 4.0f32, 3.0f32);
    let expected = (sp / sq).ln() + (sq * sq + d * d) / (2.0 * sp * sp) - 0.5;
    assert_near(of((-1.0, sp.ln()), (d, sq.ln())), latents * expected);
}

/// Eq. 6 and 8: alpha weighs the posterior with its divergence against the prior, beta the
/// divergence.
#[test]
fn alpha_and_beta_weigh_the_terms_of_the_hybrid_loss() {
    let of = |weights| loss(&[frame(0, true)], 5.0, STANDARD, (1.0, 0.0), weights);
    let (reconstruction, divergence) = (10.5, LATENTS as f32 * 0.5);
    // Nothing depends on the latents here, so both reconstructions are the same.
    assert_near(of((0.0, 1.0)), reconstruction);
    assert_near(of((1.0, 0.2)), reconstruction + 0.2 * divergence);
    assert_near(of((0.25, 0.4)), reconstruction + 0.25 * 0.4 * divergence);
}
