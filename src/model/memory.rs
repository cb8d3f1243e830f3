//! How much memory a training takes, and how many intervals fit in what is allowed.

use std::sync::Arc;

use super::dataset::columns_per_interval;
use super::features::{NET_INPUTS, SERVER_INPUTS};
use super::layout::LEVEL_COUNT;
use crate::data::Frame;

/// Bytes of a service in one interval beside its tensor columns: its inputs while they are encoded, and
/// per metric its level and its score, which are double.
fn service_bytes(features: usize) -> usize {
    4 * (SERVER_INPUTS + NET_INPUTS + 1) + 2 * 8 * features
}

/// Bytes of an RPC in one interval beside its tensor columns: its four latencies while they are encoded.
const RPC_BYTES: usize = 4 * 4 * LEVEL_COUNT + 1;

/// Bytes of training state that `frame` takes, at most: every RPC counts as if it had every network.
/// Held-back intervals, one in seven, are held twice.
pub(super) fn bytes(frame: &Frame) -> usize {
    let rpcs = frame.rpcs.len();
    let services: usize = frame.services.iter().map(|s| service_bytes(s.features.len())).sum();
    let columns = 4 * columns_per_interval(frame.services.len(), rpcs);
    columns + columns / 7 + services + RPC_BYTES * rpcs
}

/// The newest of `frames` (in order) that fit in `bytes_max` together; at least one.
pub(super) fn newest_that_fit(mut frames: Vec<Arc<Frame>>, bytes_max: usize) -> Vec<Arc<Frame>> {
    let mut sum = 0;
    let fits = |f: &&Arc<Frame>| {
        sum += bytes(f);
        sum <= bytes_max
    };
    let count = frames.iter().rev().take_while(fits).count().max(1);
    frames.drain(..frames.len().saturating_sub(count));
    frames
}
