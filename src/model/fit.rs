//! Frames in, [`Model`] out.

use std::sync::atomic::AtomicBool;

use super::config::Config;
use super::error::Error;
use super::infer::Evaluator;
use super::network::Network;
use super::predict::Model;
use super::quality::measure;
use super::queue::Queues;
use super::train::{Learnt, Lesson, train};
use crate::data::Frame;
use crate::graph::Quality;

/// Newest calm frames from which is learnt how slow a service is by itself.
const CALM_MAX: usize = 300;

/// Trains a model from scratch and measures it on the frames that were held back.
///
/// # Errors
/// [`Error::TooFew`] without frames to learn from, [`Error::Cancelled`], [`Error::Diverged`],
/// [`Error::Scale`].
pub fn fit(
    lesson: &Lesson<'_>,
    config: &Config,
    progress: &dyn Fn(f32),
    cancel: &AtomicBool,
) -> Result<Model, Error> {
    // Where no interval met its targets, all of them show what is usual.
    let all = vec![true; lesson.met.len()];
    let met = if lesson.met.contains(&true) { lesson.met } else { &all };
    let lesson = &Lesson { met, ..*lesson };
    let Learnt { features, layout, gvae, held_back } = train(lesson, config, progress, cancel)?;
    let mut model = Model {
        id: identity(lesson, config),
        trained_at: lesson.frames.last().map_or_else(Default::default, |f| f.interval.end),
        intervals: lesson.frames.len(),
        net: lesson.net.clone(),
        features,
        evaluator: Evaluator::new(Network::from(&gvae), layout),
        calm: Vec::new(),
        slowest: Vec::new(),
        usual: Vec::new(),
        queues: Queues::default(),
        changed_at: Vec::new(),
        trained_services: lesson.net.services.len(),
        quality: Quality { r2: 0.0, r2_log: 0.0, r2_prior: 0.0, rmse_ms: 0.0, by_rpc: Vec::new() },
    };
    let calm = lesson.frames.iter().zip(lesson.met).filter(|(_, met)| **met).map(|(f, _)| *f);
    let mut calm: Vec<&Frame> = calm.collect();
    calm.drain(..calm.len().saturating_sub(CALM_MAX));
    model.learn_calm(&calm);
    let in_flight = model.features.in_flight.of_all(lesson.frames, &model.net);
    model.queues = Queues::fit(lesson.frames, &model.net, &model.evaluator, &in_flight);
    let unseen: Vec<&Frame> = held_back.iter().map(|t| lesson.frames[*t]).collect();
    model.quality = measure(&model, &unseen);
    Ok(model)
}

/// Says what a model was trained on: the newest interval, how many, with which seed.
fn identity(lesson: &Lesson<'_>, config: &Config) -> String {
    let newest = lesson.frames.last().map_or(0, |f| f.interval.end.0 / 1000);
    format!("gvae-{newest}-{}-{}", lesson.frames.len(), config.seed)
}
