//! Trained networks back into burn, and their structural parameters to a new normal.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, ArrayView3, Axis};

use super::dataset::Tensors;
use super::gvae::{Gvae, Latents};
use super::index::Index;
use super::network::{Network, PlainStack};
use super::shift::moved;
use super::stack::Stack;

/// A node's own work is never taken to be a smaller share of its latency than this.
const OWN_SHARE_MIN: f32 = 0.05;

impl Gvae {
    /// The networks of `network` as parameters on `device`.
    pub(super) fn of(network: &Network, device: &Device) -> Self {
        let stack = |s: &PlainStack| {
            let layer = |(w, b): (ArrayView3<'_, f32>, &Array2<f32>)| {
                (tensor(w, device), tensor(b.view().insert_axis(Axis(2)), device))
            };
            Stack::from_layers(s.layers().map(layer).collect())
        };
        let param =
            |m: &Array2<f32>| Param::from_tensor(tensor(m.view().insert_axis(Axis(2)), device));
        Self {
            prior_server: stack(&network.prior_server),
            prior_net: stack(&network.prior_net),
            encoder_server: stack(&network.encoder_server),
            encoder_net: stack(&network.encoder_net),
            decoder_server: stack(&network.decoder_server),
            decoder_client: stack(&network.decoder_client),
            decoder_net: stack(&network.decoder_net),
            own_server: param(&network.own_server),
            own_client: param(&network.own_client),
            weight_edge: param(&network.weight_edge),
            weight_part: param(&network.weight_part),
            sharp_server: param(&network.sharp_server),
            sharp_client: param(&network.sharp_client),
            bias_net: param(&network.bias_net),
        }
    }
}

/// # Shapes
/// `[a, b, c]` to the same.
fn tensor(array: ArrayView3<'_, f32>, device: &Device) -> Tensor<3> {
    let (a, b, c) = array.dim();
    Tensor::from_data(
        TensorData::new(array.iter().copied().collect::<Vec<f32>>(), [a, b, c]),
        device,
    )
}

/// Moves what every node adds by itself so that calm frames are predicted on average: a few steps of
/// gradient descent cannot move it far, and a median needs only a few frames. `network` and `gvae` are
/// the same part; `data` holds calm frames only.
pub(super) fn calibrate(network: &mut Network, index: &Index, data: &Tensors, device: &Device) {
    let gvae = Gvae::of(network, device);
    let prior = gvae.prior(index, data);
    let z = Latents { server: prior.server.0, net: prior.net.0 };
    let (children, own) = gvae.server_terms(index, data, &z.server);
    let missing = needed(&data.latency_server, children) - own;
    shift(&mut network.own_server, &missing, &data.seen);
    let (parts, own) = gvae.client_terms(index, data, &z.server);
    let missing = needed(&data.latency_client, parts) - own;
    shift(&mut network.own_client, &missing, &data.seen_client);
    let missing = data.delays.clone() - gvae.decode(index, data, &z).delays;
    shift(&mut network.bias_net, &missing, &data.seen_paired);
}

/// What must be added to `waited` to give `observed`: ln(e^observed - e^waited), in log space.
fn needed(observed: &Tensor<3>, waited: Tensor<3>) -> Tensor<3> {
    let share = -((waited - observed.clone()).clamp_max(0.0).exp() - 1.0);
    observed.clone() + share.clamp_min(OWN_SHARE_MIN).log()
}

/// Adds to each parameter the typical missing value over the frames in which its node was seen.
fn shift(parameters: &mut Array2<f32>, missing: &Tensor<3>, seen: &Tensor<3>) {
    let [nodes, width, batch] = missing.dims();
    let values = |t: &Tensor<3>| -> Vec<f32> {
        t.clone().into_data().try_to_vec::<f32>().expect("tensors are f32")
    };
    let (missing, seen) = (values(missing), values(seen));
    for node in 0..nodes.min(parameters.nrows()) {
        for q in 0..width {
            let from = (node * width + q) * batch;
            let typical: Vec<f64> = (0..batch)
                .filter(|t| seen[node * batch + t] > 0.0)
                .map(|t| f64::from(missing[from + t]))
                .collect();
            parameters[[node, q]] += moved(&typical, 0.0) as f32;
        }
    }
}
