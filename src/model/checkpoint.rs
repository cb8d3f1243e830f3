//! A model as a manifest and weights; a mismatch is refused, never guessed around.

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::features::{FeatureModel, NET_INPUTS, SERVER_INPUTS};
use super::gvae::LATENTS;
use super::infer::Evaluator;
use super::layout::{LEVEL_COUNT, Layout};
use super::network::Network;
use super::predict::Model;
use super::queue::Queues;
use super::slowness::{Calm, Slowest};
use super::stack::HIDDEN;
use super::usual::Usual;
use crate::data::{EventTime, RpcKey, RpcKind, SavedModel};
use crate::graph::{CausalNet, Quality, RpcGraph};

/// Changes when old weights no longer mean the same.
const FORMAT: u32 = 6;
/// Sizes every network is built from.
const SIZES: [usize; 5] = [SERVER_INPUTS, NET_INPUTS, LATENTS, LEVEL_COUNT, HIDDEN];

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    sizes: [usize; 5],
    id: String,
    trained_at: EventTime,
    intervals: usize,
    rpcs: Vec<(RpcKey, RpcKind)>,
    features: FeatureModel,
    layout: Layout,
    calm: Vec<Calm>,
    slowest: Vec<Slowest>,
    usual: Vec<Usual>,
    queues: Queues,
    changed_at: Vec<EventTime>,
    trained_services: usize,
    quality: Quality,
}

impl Model {
    /// What goes to disk.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the model holds a number JSON cannot.
    pub fn save(&self) -> Result<SavedModel, Error> {
        let manifest = Manifest {
            format: FORMAT,
            sizes: SIZES,
            id: self.id.clone(),
            trained_at: self.trained_at,
            intervals: self.intervals,
            rpcs: self.net.rpcs.iter().map(|r| (r.key.clone(), r.kind)).collect(),
            features: self.features.clone(),
            layout: self.evaluator.layout.clone(),
            calm: self.calm.clone(),
            slowest: self.slowest.clone(),
            usual: self.usual.clone(),
            queues: self.queues.clone(),
            changed_at: self.changed_at.clone(),
            trained_services: self.trained_services,
            quality: self.quality.clone(),
        };
        let manifest =
            serde_json::to_string(&manifest).map_err(|e| Error::Mismatch(e.to_string()))?;
        Ok(SavedModel {
            id: self.id.clone(),
            trained_at: self.trained_at,
            manifest,
            weights: self.evaluator.network.to_bytes(),
        })
    }

    /// Reads what [`Model::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it is of another format, other sizes or another net.
    pub fn load(saved: &SavedModel) -> Result<Self, Error> {
        let refuse = |why: String| Error::Mismatch(format!("model {}: {why}", saved.id));
        let manifest: Manifest =
            serde_json::from_str(&saved.manifest).map_err(|e| refuse(e.to_string()))?;
        if manifest.format != FORMAT {
            return Err(refuse(format!("format {}, this program reads {FORMAT}", manifest.format)));
        }
        if manifest.sizes != SIZES {
            return Err(refuse(format!("sizes {:?}, this program has {SIZES:?}", manifest.sizes)));
        }
        let net = CausalNet::new(&RpcGraph::from_edges(manifest.rpcs));
        let network = Network::from_bytes(&saved.weights)?;
        let layout = manifest.layout;
        let nodes = |n: usize| n.max(1);
        let wanted = [
            (network.prior_server.nodes(), nodes(net.services.len()), "priors of services"),
            (network.encoder_server.nodes(), nodes(net.services.len()), "encoders of services"),
            (network.prior_net.nodes(), nodes(layout.paired.len()), "priors of networks"),
            (network.encoder_net.nodes(), nodes(layout.paired.len()), "encoders of networks"),
            (network.decoder_net.nodes(), nodes(layout.paired.len()), "decoders of networks"),
            (network.decoder_server.nodes(), nodes(net.rpcs.len()), "decoders of servers"),
            (network.decoder_client.nodes(), nodes(layout.clients.len()), "decoders of clients"),
            (manifest.features.services(), net.services.len(), "metric baselines"),
            (network.own_server.nrows(), nodes(net.rpcs.len()), "RPCs"),
            (network.sharp_server.nrows(), nodes(net.rpcs.len()), "soft maxima"),
            (network.own_client.nrows(), nodes(layout.clients.len()), "client latencies"),
            (network.weight_edge.nrows(), nodes(layout.edges.len()), "edges"),
            (network.bias_net.nrows(), nodes(layout.paired.len()), "networks"),
            (layout.services, net.services.len(), "services"),
            (manifest.calm.len(), net.rpcs.len(), "calm scores of RPCs"),
            (manifest.slowest.len(), net.services.len(), "calm scores of services"),
            (manifest.usual.len(), net.services.len(), "usual looks"),
            (manifest.queues.services(), net.services.len(), "queues"),
            (layout.callee.len(), net.rpcs.len(), "layout entries"),
        ];
        for (has, needs, what) in wanted {
            if has != needs {
                return Err(refuse(format!("{has} {what}, its net has {needs}")));
            }
        }
        Ok(Self {
            id: manifest.id,
            trained_at: manifest.trained_at,
            intervals: manifest.intervals,
            net,
            features: manifest.features,
            evaluator: Evaluator::new(network, layout),
            calm: manifest.calm,
            slowest: manifest.slowest,
            usual: manifest.usual,
            queues: manifest.queues,
            changed_at: manifest.changed_at,
            trained_services: manifest.trained_services,
            quality: manifest.quality,
        })
    }
}
