//! Selective partial and incremental retraining after a change (paper 4.4).
//!
//! In: the model from before the change, history, and what has changed. Out: a model of the application
//! as it is now, in which only the changed services and those that wait for them were trained, starting
//! from what they were; everything else is the old model, bit by bit.

use std::sync::atomic::AtomicBool;

use burn::module::Module as _;
use burn::tensor::Device;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::change::Changes;
use super::config::Config;
use super::dataset::{Tensors, split};
use super::error::Error;
use super::features::Inputs;
use super::gvae::Gvae;
use super::index::Index;
use super::infer::Evaluator;
use super::layout::{Layout, Observed};
use super::lesson::{Older, choose_older};
use super::part::Part;
use super::predict::Model;
use super::quality::measure;
use super::refresh::Affected;
use super::reshape::{Matching, extract, put_back, reshaped};
use super::sampler::Sampler;
use super::train::{Plan, Run};
use super::transfer::calibrate;
use super::usual::{Look, Usual};
use crate::data::{Frame, RpcKey, RpcKind};
use crate::graph::{CausalNet, Quality, RpcGraph};

/// Steps at most. The parameters start near where they end; what a few intervals cannot teach should
/// not be learnt from them.
const STEPS: usize = 30;
/// Steps between looks at the held-back frames.
const EVALUATE: usize = 10;
/// Frames per step.
const BATCH: usize = 64;
/// Learning rate: that of the second stage of a training from scratch.
const RATE: f64 = 1e-3;
/// Held-back intervals since the change from which the fit of a partly trained model is measured.
const MEASURED_MIN: usize = 4;

/// How much is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The changed services and what waits for them.
    Partial,
    /// Every node, as long as the second stage of a training from scratch (incremental retraining only).
    Everything,
}

/// What to learn from after a change.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// Frames in order, from before the change and since.
    pub frames: &'a [&'a Frame],
    /// Whether QoS was met in each.
    pub met: &'a [bool],
    /// What has changed.
    pub changes: &'a Changes,
}

/// Brings `base`, the model from before the change, up to date.
///
/// # Errors
/// [`Error::TooFew`] without frames since the change, [`Error::Cancelled`], [`Error::Diverged`].
pub fn retrain(
    base: &Model,
    update: &Update<'_>,
    (config, reach): (&Config, Reach),
    progress: &dyn Fn(f32),
    cancel: &AtomicBool,
) -> Result<Model, Error> {
    let lesson = Lesson::new(base, update, reach)?;
    let mut network = reshaped(
        &base.evaluator.network,
        (&base.evaluator.layout, &base.net),
        (&lesson.layout, &lesson.net),
        &lesson.matching,
    );
    let part = match reach {
        Reach::Partial => Part::of(&lesson.layout, &lesson.affected.trained, &lesson.affected.nets),
        Reach::Everything => Part::whole(&lesson.layout),
    };
    let device = Device::flex();
    let index = Index::new(&lesson.layout, &part, &device);
    let mut nodes = extract(&network, &part);
    let calm = Tensors::of(&lesson.calm, &lesson.layout, &part, &device);
    calibrate(&mut nodes, &index, &calm, &device);
    let data = Tensors::of(&lesson.encoded, &lesson.layout, &part, &device);
    let gvae = Gvae::of(&nodes, &device.autodiff());
    let (plan, batch) = plan(reach, config);
    let sampler = Sampler::interleaved(&lesson.train_on, &lesson.met, lesson.since, batch);
    let rng = SmallRng::seed_from_u64(config.seed);
    let mut run = Run::new((data, index), sampler, &lesson.held_back, config, rng);
    let trained = run.stage(gvae, &plan, &|s| progress(s as f32 / plan.steps as f32), cancel)?;
    put_back(&mut network, &super::network::Network::from(&trained.valid()), &part);
    Ok(lesson.model(base, network, &part))
}

fn plan(reach: Reach, config: &Config) -> (Plan, usize) {
    match reach {
        Reach::Partial => {
            let steps = STEPS.min(config.steps[1].max(1));
            (Plan { steps, rate: RATE, warm_up: 0, evaluate: EVALUATE }, BATCH)
        }
        Reach::Everything => (Plan::stage(1, config), 2 * BATCH),
    }
}

/// An update made ready to learn from.
struct Lesson<'a> {
    update: &'a Update<'a>,
    net: CausalNet,
    matching: Matching,
    affected: Affected,
    layout: Layout,
    features: super::features::FeatureModel,
    /// Frames since the change.
    fresh: Vec<&'a Frame>,
    /// Those of them that met QoS, or all when none did.
    calm_fresh: Vec<&'a Frame>,
    /// The same, encoded.
    calm: Vec<(Inputs, Observed)>,
    /// Older frames, then fresh ones, encoded.
    encoded: Vec<(Inputs, Observed)>,
    met: Vec<bool>,
    /// Where the fresh ones begin.
    since: usize,
    train_on: Vec<usize>,
    held_back: Vec<usize>,
}

impl<'a> Lesson<'a> {
    fn new(base: &Model, update: &'a Update<'a>, reach: Reach) -> Result<Self, Error> {
        let frames = update.frames;
        let from = frames.partition_point(|f| f.interval.start < update.changes.since);
        let (fresh, fresh_met) = (frames[from..].to_vec(), &update.met[from..]);
        let net = net_after(base, update.changes, &fresh);
        if fresh.is_empty() || net.rpcs.is_empty() {
            return Err(Error::TooFew { frames: fresh.len(), rpcs: net.rpcs.len() });
        }
        let matching = Matching::new(&base.net, &net);
        let affected = affected(&net, &matching, update.changes, reach);
        let old = &base.evaluator.layout;
        let layout = Layout::refreshed(&net, old, &matching, &affected, (&fresh, fresh_met));
        let is_any_calm = fresh_met.contains(&true);
        let calm_fresh: Vec<&Frame> = fresh
            .iter()
            .zip(fresh_met)
            .filter(|(_, met)| **met || !is_any_calm)
            .map(|(f, _)| *f)
            .collect();
        let features = base.features.refreshed(&net, &matching, &affected, &calm_fresh);
        let older = choose_older(&frames[..from], &update.met[..from], reach);
        let chosen: Vec<&Frame> =
            older.iter().map(|t| frames[*t]).chain(fresh.iter().copied()).collect();
        let met = older.iter().map(|t| update.met[*t]).chain(fresh_met.iter().copied()).collect();
        let now = |f: &&Frame| (features.inputs(f, &net), layout.observe(f, &net));
        let then = Older { base, net: &net, layout: &layout, matching: &matching };
        let encoded = older.iter().map(|t| then.encode(frames[*t], &affected));
        let encoded = encoded.chain(fresh.iter().map(now)).collect();
        let (train_on, held_back) = split(&chosen);
        Ok(Self {
            calm: calm_fresh.iter().map(now).collect(),
            since: older.len(),
            update,
            net,
            matching,
            affected,
            layout,
            features,
            fresh,
            calm_fresh,
            encoded,
            met,
            train_on,
            held_back,
        })
    }

    /// Puts the new model together.
    fn model(self, base: &Model, network: super::network::Network, part: &Part) -> Model {
        let newest = self.update.frames.last().map_or(base.trained_at, |f| f.interval.end);
        let changed_at = |j: usize| match self.matching.services[j] {
            Some(was) if !self.affected.changed[j] => base.changed_since(was),
            _ => self.update.changes.since,
        };
        let changed_at = (0..self.net.services.len()).map(changed_at).collect();
        let mut model = Model {
            id: format!("{}+{}-{}", base.id, newest.0 / 1000, part.trained.len()),
            trained_at: newest,
            intervals: self.encoded.len(),
            features: self.features,
            evaluator: Evaluator::new(network, self.layout),
            calm: Vec::new(),
            slowest: Vec::new(),
            usual: Vec::new(),
            queues: base.queues.refreshed(&self.matching.services),
            changed_at,
            trained_services: part.trained.len(),
            quality: Quality { by_rpc: Vec::new(), ..base.quality.clone() },
            net: self.net,
        };
        model.inherit_calm(base, &self.matching, &self.affected, &self.calm_fresh);
        let looks: Vec<Look> = self.calm_fresh.iter().map(|f| Look::at(&model, f)).collect();
        model.usual = Usual::refreshed(&base.usual, &looks, &self.matching, &self.affected);
        let unseen: Vec<&Frame> =
            split(self.update.frames).1.into_iter().map(|t| self.update.frames[t]).collect();
        let since = self.update.changes.since;
        let unseen: Vec<&Frame> =
            unseen.into_iter().filter(|f| f.interval.start >= since).collect();
        let known = |i: &Option<usize>| i.map_or(0.0, |was| base.quality.by_rpc[was]);
        model.quality = if unseen.len() >= MEASURED_MIN && self.fresh.len() > unseen.len() {
            measure(&model, &unseen)
        } else {
            // Too little was held back since: what was measured before is the best there is.
            let by_rpc = self.matching.rpcs.iter().map(known).collect();
            Quality { by_rpc, ..base.quality.clone() }
        };
        model
    }
}

/// The net of the application after the change.
fn net_after(base: &Model, changes: &Changes, fresh: &[&Frame]) -> CausalNet {
    let kind_now = |key: &RpcKey, kind: RpcKind| {
        let is_paired = fresh.iter().filter_map(|f| f.rpc(key)).any(|w| w.kind == RpcKind::Paired);
        if is_paired { RpcKind::Paired } else { kind }
    };
    let stays = |key: &RpcKey| !changes.gone_rpcs.contains(key);
    let known = base.net.rpcs.iter().filter(|r| stays(&r.key)).map(|r| (r.key.clone(), r.kind));
    let new = changes.new_rpcs.iter().map(|(key, kind)| (key.clone(), kind_now(key, *kind)));
    CausalNet::new(&RpcGraph::from_edges(known.chain(new)))
}

/// Which nodes a change is about: the changed services and whoever waits for them, and those that serve
/// a new RPC. What lies below a change is not affected by it.
pub(super) fn affected(
    net: &CausalNet,
    matching: &Matching,
    changes: &Changes,
    reach: Reach,
) -> Affected {
    let is_new = |j: usize| matching.services[j].is_none();
    let is_named = |j: usize| changes.services.contains_key(&net.services[j]);
    let services = 0..net.services.len();
    let changed: Vec<bool> = services.clone().map(|j| is_new(j) || is_named(j)).collect();
    let above = net.callers_of();
    let mut trained: Vec<bool> = services
        .map(|j| {
            changed[j]
                || reach == Reach::Everything
                || (0..changed.len()).any(|k| changed[k] && above[k][j])
        })
        .collect();
    for (i, _) in net.rpcs.iter().enumerate().filter(|(i, _)| matching.rpcs[*i].is_none()) {
        trained[net.rpcs[i].callee] = true;
    }
    let nets = net
        .rpcs
        .iter()
        .enumerate()
        .map(|(i, rpc)| {
            let is_end_changed = changed[rpc.callee] || rpc.caller.is_some_and(|a| changed[a]);
            reach == Reach::Everything || matching.rpcs[i].is_none() || is_end_changed
        })
        .collect();
    Affected { changed, trained, nets }
}
