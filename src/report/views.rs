//! What the API reads. Functions stand for other stages' state, so that this one knows none of them.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use super::board::Board;
use crate::data::{
    EventTime, FixProblem, FixRecord, FixWish, Frame, Interval, ModelStatus, QosTarget,
};
use crate::graph::RpcGraph;
use crate::observe::Exposition;

/// How far event time and the windows have come.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Progress {
    /// Event-time watermark.
    pub watermark: Option<EventTime>,
    /// Data before this moment comes too late.
    pub horizon: Option<EventTime>,
    /// How long the next interval will be, milliseconds.
    pub interval_ms: i64,
    /// Open intervals, counted in the configured length.
    pub open_intervals: usize,
    /// Intervals closed since the start.
    pub closed_intervals: u64,
    /// Closed intervals in memory.
    pub history: usize,
}

/// Frames that overlap an interval.
pub(super) type FramesOf = dyn Fn(&Interval) -> Vec<Arc<Frame>> + Send + Sync;

/// A question to another part of the program, answered once.
pub(super) type Ask<T> = mpsc::Sender<oneshot::Sender<T>>;

/// A wish about a fix, and the way back.
pub(super) type Wish = (String, FixWish, oneshot::Sender<Result<FixRecord, FixProblem>>);

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct Views {
    /// Diagnoses.
    pub board: Board,
    /// Frames that overlap an interval.
    pub frames: Arc<FramesOf>,
    /// The newest RPC graph.
    pub graph: watch::Receiver<Arc<RpcGraph>>,
    /// The model.
    pub model: Arc<dyn Fn() -> ModelStatus + Send + Sync>,
    /// The windows.
    pub progress: Arc<dyn Fn() -> Progress + Send + Sync>,
    /// Configured targets.
    pub targets: watch::Receiver<Vec<QosTarget>>,
    /// Fixes, in order of arrival.
    pub fixes: watch::Receiver<Arc<Vec<FixRecord>>>,
    /// Approves and reverts them.
    pub wishes: mpsc::Sender<Wish>,
    /// Begins a training; the answer is false while one is under way.
    pub train: Ask<bool>,
    /// Reads the configuration again.
    pub reload: Ask<Result<String, String>>,
    /// Metrics.
    pub exposition: Exposition,
    /// Why requests cannot be served, in words; `None` when they can.
    pub unready: Arc<dyn Fn() -> Option<&'static str> + Send + Sync>,
}
