//! What one stage sees of the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};

use crate::data::{EventTime, Frame, ModelRef};
use crate::graph::{self, Mechanism, RpcGraph};
use crate::memory::{Pressure, Relief, Relieve};
use crate::model::Status;
use crate::window::{History, Progress};
use crate::{diagnose, receive, report};

#[allow(clippy::disallowed_methods, reason = "the guard against the future needs the wall clock")]
pub(super) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn learn_graph(history: &History, config: &graph::Config) -> Arc<RpcGraph> {
    let frames = history.all();
    Arc::new(RpcGraph::learn(frames.iter().map(|f| &**f), config))
}

pub(super) async fn follow_graph(
    mut frames: mpsc::Receiver<Arc<Frame>>,
    history: History,
    config: graph::Config,
    graph: watch::Sender<Arc<RpcGraph>>,
) {
    while frames.recv().await.is_some() {
        graph.send_replace(learn_graph(&history, &config));
    }
}

/// What a diagnosis is made from.
pub(super) fn facts(
    history: &History,
    progress: &watch::Receiver<Progress>,
    model: &watch::Receiver<Status>,
) -> Arc<dyn Fn() -> diagnose::Facts + Send + Sync> {
    let (history, progress, model) = (history.clone(), progress.clone(), model.clone());
    Arc::new(move || {
        let in_use = model.borrow().model.clone();
        diagnose::Facts {
            history: history.all(),
            watermark: progress.borrow().watermark,
            mechanism: in_use.map(|m| {
                let reference = ModelRef {
                    id: m.id.clone(),
                    trained_at: m.trained_at,
                    r2: Mechanism::quality(&*m).r2,
                };
                (m as Arc<dyn Mechanism>, reference)
            }),
        }
    })
}

pub(super) fn progress_view(progress: &Progress, history: usize) -> report::Progress {
    report::Progress {
        watermark: progress.watermark,
        horizon: progress.horizon.filter(|h| *h > EventTime(i64::MIN)),
        interval_ms: progress.interval_ms,
        open_intervals: progress.open,
        closed_intervals: progress.closed,
        history,
    }
}

/// Why Sage is not ready, in words; `None` when it is.
pub(super) fn unready(
    is_ready: &Arc<AtomicBool>,
    pressure: &Pressure,
) -> Arc<dyn Fn() -> Option<&'static str> + Send + Sync> {
    let (is_ready, pressure) = (is_ready.clone(), pressure.clone());
    Arc::new(move || {
        if !is_ready.load(Ordering::Relaxed) {
            Some("Sage is starting or stopping.")
        } else if pressure.is_spent() {
            Some("Memory is spent: more than memory.hard_ratio of the budget is in use.")
        } else {
            None
        }
    })
}

/// What gives memory back beside the windows, which do it themselves: tables that only make things faster at once,
/// closed intervals last.
pub(super) fn relieve(known: &Arc<receive::KnownSeries>, history: &History) -> Relieve {
    let (known, history) = (known.clone(), history.clone());
    Box::new(move |relief| {
        known.relieve();
        if relief >= Relief::Closed {
            let gone = history.relieve();
            tracing::warn!(gone, "memory is short for long: the oldest intervals are on disk only");
        }
    })
}
