//! Frames in, suspects out.

use std::sync::Arc;

use super::input::{CHANNELS, Input, PAST};
use super::train::{Example, Lesson, Trained, train};
use crate::data::Frame;
use crate::lab::rivals::rival::{Accused, Past, Rival};

/// A tier is accused when it is at least so probable; the most probable one always is.
const PROBABLE: f32 = 0.3;

/// Seer after training.
#[derive(Debug)]
pub(in crate::lab::rivals) struct Seer {
    input: Input,
    network: Option<Trained>,
}

impl Seer {
    /// Learns from labelled violations.
    pub(in crate::lab::rivals) fn learn(past: &Past<'_>) -> Self {
        let input = Input::learn(past);
        let rows: Vec<Vec<f32>> = past.frames.iter().map(|f| input.read(f)).collect();
        let of = |(i, frame): (usize, &Arc<Frame>)| {
            let labels = past.labels.get(&frame.interval.start).filter(|_| !past.met[i])?;
            let position = |name: &String| input.tiers.iter().position(|t| **t == **name);
            let mut to_blame: Vec<usize> = labels.iter().filter_map(|(s, _)| position(s)).collect();
            to_blame.sort_unstable();
            to_blame.dedup();
            let input = window(&rows[..=i], CHANNELS * input.tiers.len());
            (!to_blame.is_empty()).then_some(Example { input, to_blame })
        };
        let examples: Vec<Example> = past.frames.iter().enumerate().filter_map(of).collect();
        let lesson = Lesson { examples: &examples, tiers: input.tiers.len(), seed: past.seed };
        Self { network: train(&lesson), input }
    }
}

impl Rival for Seer {
    fn name(&self) -> &'static str {
        "Seer"
    }

    fn accuse(&self, frames: &[Arc<Frame>]) -> Accused {
        let (Some(network), Some(now)) = (&self.network, frames.last()) else { return Vec::new() };
        let recent = &frames[frames.len().saturating_sub(PAST)..];
        let rows: Vec<Vec<f32>> = recent.iter().map(|f| self.input.read(f)).collect();
        let input = window(&rows, CHANNELS * self.input.tiers.len());
        let mut ranked: Vec<_> =
            self.input.tiers.iter().zip(network.probabilities(&input)).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let probable = ranked.iter().filter(|(_, p)| *p >= PROBABLE).count().max(1);
        ranked.truncate(probable);
        let resource = |tier: &str| self.input.usual.resource(now, tier);
        ranked.into_iter().map(|(tier, _)| (tier.to_string(), resource(tier))).collect()
    }
}

/// The newest [`PAST`] rows, oldest first; before the first one all was as usual.
fn window(rows: &[Vec<f32>], width: usize) -> Vec<f32> {
    let missing = PAST.saturating_sub(rows.len());
    let mut window = vec![0.0; missing * width];
    window.extend(rows[rows.len().saturating_sub(PAST)..].iter().flatten());
    window
}
