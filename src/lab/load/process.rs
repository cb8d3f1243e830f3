//! Memory and processor time of a receiver, as the kernel counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procfs::process::Process;
use tokio::task::JoinHandle;

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(100);

/// The state of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Memory resident now.
    pub resident_bytes: u64,
    /// Processor time used since it started, user and system.
    pub cpu_s: f64,
}

/// Reads /proc; `None` when the process is gone or not ours to see.
pub fn reading(pid: i32) -> Option<Reading> {
    let stat = Process::new(pid).and_then(|p| p.stat()).ok()?;
    let ticks = procfs::ticks_per_second() as f64;
    Some(Reading {
        resident_bytes: stat.rss * procfs::page_size(),
        cpu_s: (stat.utime + stat.stime) as f64 / ticks,
    })
}

/// The most memory a process ever had, bytes, as the kernel remembers it.
pub fn peak_bytes(pid: i32) -> Option<u64> {
    let status = Process::new(pid).and_then(|p| p.status()).ok()?;
    status.vmhwm.map(|kb| kb * 1024)
}

/// Looks at the memory of a process until it is told to stop.
#[derive(Debug)]
pub struct Watch {
    peak: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to look.
    pub fn start(pid: i32) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let seen = peak.clone();
        let task = tokio::spawn(async move {
            while let Some(now) = reading(pid) {
                seen.fetch_max(now.resident_bytes, Ordering::Relaxed);
                tokio::time::sleep(LOOK).await;
            }
        });
        Self { peak, task }
    }

    /// The most that was seen.
    pub fn stop(self) -> u64 {
        self.task.abort();
        self.peak.load(Ordering::Relaxed)
    }
}
