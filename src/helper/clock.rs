//! The only place that reads clocks.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Since boot, sleep included; leases run by this one.
    pub(crate) since_boot: Duration,
    /// For people to read.
    pub(crate) wall: jiff::Timestamp,
}

impl Now {
    /// This moment.
    pub(crate) fn read() -> Self {
        Self { since_boot: since_boot(), wall: jiff::Timestamp::now() }
    }
}

/// Time since boot, sleep included. It never jumps.
pub(crate) fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
