//! Where training starts: what normal values alone say about how a server's latency is made up.
//!
//! A server that waits for several others at once takes as long as the slowest, one that asks them in
//! turn takes as long as all together; and the median of the slowest of six is far above the median of
//! each, while its tail is hardly above theirs. So sharpness is a matter of the level. Training moves it
//! little, and a wrong start leaves a bias in exactly what counterfactuals return to: the normal case.

use super::gvae::{EDGE_WEIGHT, SHARPNESS_MAX};
use super::infer::Levels;
use super::layout::{ABSENT, Kind, LEVEL_COUNT, Layout};

/// Sharpness where normal values leave it open: nearer to a sum than to a maximum.
const OPEN: f32 = 1.7;
/// A server's own work is at least this share of its normal latency.
const OWN_MIN: f32 = 0.1;
/// Halvings of the range in which sharpness is sought.
const HALVINGS: usize = 20;

/// How the normal server latency of one RPC is made up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Start {
    /// ln of the server's own part, milliseconds.
    pub own: Levels,
    /// Parameter of the soft maximum over children, as [`sharpness`] takes it.
    pub sharp: Levels,
}

/// Where every RPC starts.
pub(super) fn starts(layout: &Layout) -> Vec<Start> {
    let mut children: Vec<Vec<Levels>> = vec![Vec::new(); layout.callee.len()];
    for edge in &layout.edges {
        let client = edge.thinning().of(&layout.normal[Kind::Client as usize][edge.child]);
        let weight = edge.weight_start().clamp(EDGE_WEIGHT.0, EDGE_WEIGHT.1);
        let weighted = client.map(|c| if c > ABSENT { c + weight } else { ABSENT });
        children[edge.parent].push(weighted);
    }
    let normal = &layout.normal[Kind::Server as usize];
    children.iter().zip(normal).map(|(children, normal)| Start::of(normal, children)).collect()
}

impl Start {
    /// `normal`: log latency of the server. `children`: those of what it waits for, weighted.
    fn of(normal: &Levels, children: &[Levels]) -> Self {
        let mut start = Self { own: *normal, sharp: [raw(OPEN); LEVEL_COUNT] };
        for q in 0..LEVEL_COUNT {
            let present: Vec<f32> = children.iter().map(|c| c[q]).filter(|c| *c > ABSENT).collect();
            if present.is_empty() {
                continue;
            }
            let sharp = sharpest_needed(&present, normal[q] + (1.0 - OWN_MIN).ln());
            let waited = soft_maximum(&present, sharp) - normal[q];
            start.sharp[q] = raw(sharp);
            start.own[q] = normal[q] + (1.0 - waited.exp()).max(OWN_MIN).ln();
        }
        start
    }
}

/// The smallest sharpness from [`OPEN`] on at which waiting takes no longer than `limit`.
fn sharpest_needed(children: &[f32], limit: f32) -> f32 {
    let (mut low, mut high) = (OPEN, SHARPNESS_MAX);
    if soft_maximum(children, low) <= limit {
        return low;
    }
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        let fits = soft_maximum(children, middle) <= limit;
        *(if fits { &mut high } else { &mut low }) = middle;
    }
    high
}

fn soft_maximum(children: &[f32], sharp: f32) -> f32 {
    let most = children.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    children.iter().map(|c| ((c - most) * sharp).exp()).sum::<f32>().ln() / sharp + most
}

/// Exponent of a soft maximum from its parameter: at least one, where it is a sum.
pub(super) fn sharpness(raw: f32) -> f32 {
    (raw.max(0.0) + (-raw.abs()).exp().ln_1p() + 1.0).min(SHARPNESS_MAX)
}

/// The inverse, short of the bounds where nothing is left to learn.
fn raw(sharpness: f32) -> f32 {
    (sharpness.clamp(1.01, SHARPNESS_MAX - 0.5) - 1.0).exp_m1().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicted(start: &Start, children: &[Levels], q: usize) -> f32 {
        let waits: Vec<f32> = children.iter().map(|c| c[q]).collect();
        let waited = soft_maximum(&waits, sharpness(start.sharp[q]));
        (waited.exp() + start.own[q].exp()).ln()
    }

    #[test]
    fn the_start_predicts_the_normal_latency() {
        // Six leaves at once: the median of the slowest is twice theirs, its tail is their tail.
        let leaf: Levels = [5.0f32, 8.0, 11.0, 14.0, 20.0].map(f32::ln);
        let root: Levels = [15.0f32, 18.5, 23.0, 25.0, 31.0].map(f32::ln);
        let children = [leaf; 6];
        let start = Start::of(&root, &children);
        for (q, normal) in root.iter().enumerate() {
            let off = predicted(&start, &children, q) - normal;
            assert!(off.abs() < 0.05, "level {q} is off by {off}");
        }
        let sharp = start.sharp.map(sharpness);
        assert!(sharp[4] > 1.5 * sharp[0], "{sharp:?}");
    }

    #[test]
    fn a_leaf_works_by_itself() {
        let normal: Levels = [1.0, 1.5, 2.0, 2.5, 3.0];
        assert_eq!(Start::of(&normal, &[]).own, normal);
        let absent = Start::of(&normal, &[[ABSENT; LEVEL_COUNT]]);
        assert_eq!(absent.own, normal);
    }

    #[test]
    fn property_raw_is_the_inverse_of_sharpness() {
        for n in 11..=115 {
            let sharp = n as f32 / 10.0;
            assert!((sharpness(raw(sharp)) - sharp).abs() < 1e-3, "{sharp}");
        }
    }
}
