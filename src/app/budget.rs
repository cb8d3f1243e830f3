//! The memory budget, split over the stages: limits that would not fit are lowered.
//!
//! In: the configuration, a budget. Out: the configuration in effect, and what each part may take.

use crate::config::Config;

/// What a sidecar without traffic takes, program included.
const BASE_BYTES: u64 = 32 << 20;
/// A span that waits, alone in its trace, as most are in a storm: docs/performance.md, "Memory".
const SPAN_BYTES: u64 = 1000;
/// A span or a sample on its way to the windows.
const ITEM_BYTES: u64 = 400;
/// An RPC of the interval that is being closed: four sketches and its keys.
const RPC_BYTES: u64 = 12 << 10;
/// A series that is followed.
const SERIES_BYTES: u64 = 900;

/// Percent of the soft limit, less the base, for each part.
const SHARES: [(&str, u64); 5] =
    [("edges", 35), ("series", 10), ("history", 30), ("requests", 15), ("training", 10)];

/// A limit that was lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lowered {
    pub(super) key: &'static str,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What comes of a budget.
#[derive(Debug)]
pub(super) struct Split {
    /// The configuration in effect.
    pub(super) config: Config,
    /// Bytes for each part.
    pub(super) parts: Vec<(&'static str, u64)>,
    pub(super) lowered: Vec<Lowered>,
}

/// Splits what lies below `soft` bytes.
pub(super) fn split(config: &Config, soft: u64) -> Split {
    let room = soft.saturating_sub(BASE_BYTES);
    let part = |name: &str| {
        let percent = SHARES.iter().find(|(n, _)| *n == name).map_or(0, |(_, percent)| *percent);
        room / 100 * percent
    };
    let mut config = config.clone();
    let mut lowered = Vec::new();
    let mut lower = |key: &'static str, value: &mut usize, to: u64, min: usize| {
        let to = usize::try_from(to).unwrap_or(usize::MAX).max(min);
        if *value > to {
            lowered.push(Lowered { key, from: *value as u64, to: to as u64 });
            *value = to;
        }
    };
    let (w, r) = (&mut config.window, &mut config.receive);
    let edges = part("edges");
    // Six in seven for spans that wait, one for the RPCs that come of them.
    lower("window.spans_waiting_max", &mut w.spans_waiting_max, edges / 7 * 6 / SPAN_BYTES, 1000);
    lower("window.rpcs_max", &mut w.rpcs_max, edges / 7 / RPC_BYTES, 10);
    lower("window.series_max", &mut w.series_max, part("series") / SERIES_BYTES, 100);
    let mut history = usize::try_from(w.history_bytes_max).unwrap_or(usize::MAX);
    lower("window.history_bytes_max", &mut history, part("history"), 1 << 20);
    w.history_bytes_max = history as u64;
    let half = part("requests") / 2;
    let mut items = r.queue_items_max as usize;
    lower("receive.queue_items_max", &mut items, half / ITEM_BYTES, 1000);
    r.queue_items_max = u32::try_from(items).unwrap_or(u32::MAX);
    lower("receive.bytes_in_flight_max", &mut r.bytes_in_flight_max, half, 3 << 20);
    // One body as sent, once more inflated, and a step ahead must fit.
    let body = (r.bytes_in_flight_max as u64 - (1 << 20)) / 2;
    lower("receive.body_bytes_max", &mut r.body_bytes_max, body, 1 << 10);
    lower("train.memory_bytes_max", &mut config.train.memory_bytes_max, part("training"), 1 << 20);
    Split { config, parts: SHARES.map(|(name, _)| (name, part(name))).to_vec(), lowered }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_is_lowered_to_something_valid() {
        let config = Config::default();
        let large = split(&config, 64 << 30);
        assert_eq!(large.config, config);
        assert_eq!(large.lowered, []);
        for soft in [100 << 20, 400 << 20, 2 << 30] {
            let small = split(&config, soft);
            let sum: u64 = small.parts.iter().map(|(_, bytes)| bytes).sum();
            assert!(sum + BASE_BYTES <= soft, "{sum} of {soft}");
            assert!(small.lowered.iter().all(|l| l.to < l.from));
            let mut faults = Vec::new();
            small.config.receive.faults(&mut faults);
            small.config.window.faults(&mut faults);
            small.config.train.faults(&mut faults);
            assert_eq!(faults, [] as [String; 0], "{soft}");
        }
        let spans = split(&config, 400 << 20).config.window.spans_waiting_max;
        assert!((80_000..150_000).contains(&spans), "{spans}");
    }
}
