//! One small task looks at what is resident, for everybody.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::level::{Level, Limits, Pressure, Relief};
use super::metrics::Metrics;

/// Between two looks. What all doors let in meanwhile is bounded by the requests in flight.
const LOOK: Duration = Duration::from_millis(200);
/// Looks a second.
const LOOKS: u32 = 5;

/// Called once a second while memory is short, with what is to be given back.
pub type Relieve = Box<dyn Fn(Relief) + Send + Sync>;

/// Tells the bytes that are resident; `None` where nobody knows.
pub type Resident = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// What the kernel says about this process.
pub fn resident() -> Resident {
    Arc::new(|| {
        let pages = procfs::process::Process::myself().and_then(|p| p.statm()).ok()?.resident;
        Some(pages * procfs::page_size())
    })
}

/// Looks until the stop, and tells everybody through `pressure`.
pub async fn watch(
    mut limits: Limits,
    resident: Resident,
    pressure: Pressure,
    relieve: Relieve,
    metrics: Metrics,
    mut stopped: watch::Receiver<bool>,
) {
    let mut last = Level::Enough;
    let mut short = 0_u32;
    loop {
        // A kernel that does not tell costs the limits, never the service.
        if let Some(bytes) = resident() {
            let level = limits.see(bytes);
            short = if level >= Level::Short { short.saturating_add(1) } else { 0 };
            let relief = Relief::after(short, LOOKS);
            pressure.set(level, relief);
            if short % LOOKS == 1 {
                relieve(relief);
            }
            metrics.resident.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            metrics.level.set(level.number().into());
            if last == Level::Enough && level > last {
                metrics.shortages.inc();
            }
            if level != last {
                tell(level, bytes, &limits);
            }
            last = level;
        }
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn tell(level: Level, resident: u64, limits: &Limits) {
    let (soft, hard) = (limits.soft, limits.hard);
    match level {
        Level::Enough => tracing::info!(resident, "memory is enough again"),
        Level::Short => {
            tracing::warn!(resident, soft, "memory is short: senders are told to come again");
        }
        Level::Spent => tracing::error!(resident, hard, "memory is spent: not ready"),
    }
}
