//! The loop around the [`Windower`]: telemetry from the queue, frames to whoever wants them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::history::History;
use super::windower::{Progress, Windower};
use crate::data::{Frame, Telemetry};
use crate::memory::{Pressure, Relief};
use crate::queue::Receiver;

/// While memory is short, the windows give some back so often.
const RELIEF: Duration = Duration::from_secs(1);

/// Where frames and progress go.
#[derive(Debug)]
pub struct Outputs {
    /// Everybody who looks back.
    pub history: History,
    /// The graph, the trainer, the disk: each frame once, in order.
    pub frames: mpsc::Sender<Arc<Frame>>,
    /// The status page.
    pub progress: watch::Sender<Progress>,
    /// The listeners' guard against data that comes too late.
    pub horizon_ms: Arc<AtomicI64>,
}

/// Runs until every sender of telemetry is gone.
pub async fn run(
    mut windower: Windower,
    mut telemetry: Receiver<Telemetry>,
    pressure: Pressure,
    out: Outputs,
) {
    let start = Instant::now();
    let mut relief = tokio::time::interval(RELIEF);
    relief.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let batch = tokio::select! {
            biased;
            // Nothing new comes in then, so nothing closes, and what waits would wait for ever.
            _ = relief.tick() => {
                match pressure.relief() {
                    Relief::None => {}
                    relief => windower.relieve(relief),
                }
                continue;
            }
            batch = telemetry.recv() => batch,
        };
        let Some(batch) = batch else { return };
        let now = start.elapsed();
        match batch {
            Telemetry::Spans(spans) => windower.push_spans(&spans, now),
            Telemetry::Series(series) => windower.push_series(&series, now),
        }
        for frame in windower.close(now) {
            tracing::debug!(
                interval = %frame.interval.start,
                rpcs = frame.rpcs.len(),
                services = frame.services.len(),
                completeness = frame.completeness,
                "interval closed"
            );
            let frame = Arc::new(frame);
            out.history.push(frame.clone());
            if out.frames.send(frame).await.is_err() {
                return;
            }
        }
        let progress = windower.progress();
        if let Some(horizon) = progress.horizon {
            out.horizon_ms.store(horizon.0, Ordering::Relaxed);
        }
        out.progress.send_if_modified(|p| {
            let changed = *p != progress;
            *p = progress;
            changed
        });
    }
}
