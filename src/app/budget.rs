//! The memory budget, split over the stages: limits that would not fit are lowered.
//!
//! In: the configuration, a budget. Out: the configuration in effect, and what each part may take.

use crate::config::Config;

/// What a sidecar without traffic takes, program included.
const BASE_BYTES: u64 = 32 << 20;
/// A span or a sample on its way to the windows: docs/performance.md, "Memory", has what was measured of this
/// and of what follows.
const ITEM_BYTES: u64 = 400;
/// An RPC of a closed interval, by its names.
const RPC_BYTES: u64 = 330;
/// So many of the largest intervals fit into the history.
const INTERVALS: u64 = 32;
/// A series that is followed.
const SERIES_BYTES: u64 = 800;
/// A latency histogram with two snapshots of a dozen buckets.
const HISTOGRAM_BYTES: u64 = 3000;
/// What all diagnoses together may take, where that is not too much.
pub(super) const DIAGNOSES_BYTES: u64 = 64 << 20;
/// An alert as they usually are.
const ALERT_BYTES: u64 = 2048;
/// An entry of each table of what earlier intervals showed.
const REMEMBERED_BYTES: u64 = 900;

/// Percent of the soft limit that the parts are cut from. The rest is what the allocator holds of what was given
/// back, and what passes: in a storm a process whose parts were all of the soft limit stood 6 % above it.
const USED_PERCENT: u64 = 90;

/// Percent of that, less the base, for each part.
const SHARES: [(&str, u64); 9] = [
    ("edges", 34),
    ("series", 13),
    ("known", 5),
    ("histograms", 4),
    ("remembered", 3),
    ("history", 19),
    ("diagnoses", 2),
    ("requests", 13),
    ("training", 7),
];

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
    /// Bytes for diagnoses.
    pub(super) diagnoses: u64,
    /// Bytes for each part.
    pub(super) parts: Vec<(&'static str, u64)>,
    pub(super) lowered: Vec<Lowered>,
}

/// Splits what lies below `soft` bytes.
pub(super) fn split(config: &Config, soft: u64) -> Split {
    let room = (soft / 100 * USED_PERCENT).saturating_sub(BASE_BYTES);
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
    // Three in five for spans that wait, two for the calls that come of them when an interval closes: these take
    // 88 bytes for every two spans, those 64 each and 208 a trace.
    let (waiting, bytes) = ("window.spans_waiting_bytes_max", part("edges") / 5 * 3);
    lower(waiting, &mut w.spans_waiting_bytes_max, bytes, 1 << 20);
    lower("window.series_max", &mut w.series_max, part("series") / SERIES_BYTES, 100);
    let (known, bytes) = ("receive.known_bytes_max", part("known"));
    lower(known, &mut r.known_bytes_max, bytes, 1 << 20);
    let (h, bytes) = (&mut w.histograms, part("histograms"));
    lower("window.histograms.bytes_max", &mut h.bytes_max, bytes, 1 << 20);
    let count = bytes / HISTOGRAM_BYTES;
    lower("window.histograms.histograms_max", &mut h.histograms_max, count, 10);
    let count = part("remembered") / REMEMBERED_BYTES;
    lower("window.remembered_max", &mut w.remembered_max, count, 1000);
    let mut history = usize::try_from(w.history_bytes_max).unwrap_or(usize::MAX);
    lower("window.history_bytes_max", &mut history, part("history"), 1 << 20);
    w.history_bytes_max = history as u64;
    lower("window.rpcs_max", &mut w.rpcs_max, part("history") / INTERVALS / RPC_BYTES, 10);
    // Two in three for what is said about alerts, one for the alerts, which are kept beside it.
    let diagnoses = part("diagnoses");
    let keep = &mut config.diagnose.keep;
    lower("diagnose.keep", keep, diagnoses / 3 / ALERT_BYTES, 10);
    let diagnoses = DIAGNOSES_BYTES.min(diagnoses / 3 * 2);
    // Two in three for requests that are read: the batches of a collector are large.
    let third = part("requests") / 3;
    let mut items = r.queue_items_max as usize;
    lower("receive.queue_items_max", &mut items, third / ITEM_BYTES, 1000);
    r.queue_items_max = u32::try_from(items).unwrap_or(u32::MAX);
    lower("receive.bytes_in_flight_max", &mut r.bytes_in_flight_max, 2 * third, 3 << 20);
    // One body as sent, once more inflated, and a step ahead must fit.
    let body = (r.bytes_in_flight_max as u64 - (1 << 20)) / 2;
    lower("receive.body_bytes_max", &mut r.body_bytes_max, body, 1 << 10);
    lower("train.memory_bytes_max", &mut config.train.memory_bytes_max, part("training"), 1 << 20);
    Split { config, diagnoses, parts: SHARES.map(|(name, _)| (name, part(name))).to_vec(), lowered }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_is_lowered_to_something_valid() {
        let config = Config::default();
        let large = split(&config, 64 << 30);
        assert_eq!(large.config, config);
        assert_eq!((large.lowered, large.diagnoses), (vec![], DIAGNOSES_BYTES));
        for soft in [100 << 20, 400 << 20, 2 << 30] {
            let small = split(&config, soft);
            let sum: u64 = small.parts.iter().map(|(_, bytes)| bytes).sum();
            assert!(sum + BASE_BYTES <= soft, "{sum} of {soft}");
            assert!(small.lowered.iter().all(|l| l.to < l.from));
            let mut faults = Vec::new();
            small.config.receive.faults(&mut faults);
            small.config.window.faults(&mut faults);
            small.config.train.faults(&mut faults);
            small.config.diagnose.faults(&mut faults);
            assert_eq!(faults, [] as [String; 0], "{soft}");
        }
    }

    /// Of the usual limit of a sidecar, 256 MiB: spans of 20,000 requests a minute, with nine spans each, which
    /// wait for 30 s and 10 s, and batches of 8192 spans as collectors send them.
    #[test]
    fn a_small_sidecar_has_room_for_the_traffic_of_a_small_application() {
        let Split { config, parts, diagnoses, .. } = split(&Config::default(), (256 << 20) / 5 * 4);
        assert_eq!(parts.iter().map(|(name, _)| *name).collect::<Vec<_>>(), SHARES.map(|(n, _)| n));
        assert!(config.window.spans_waiting_bytes_max > 20_000 * 9 * 40 / 60 * 140);
        assert!(config.window.series_max > 20_000 && config.window.rpcs_max > 1000);
        assert!(config.receive.body_bytes_max > 8192 * 600);
        assert!(config.receive.queue_items_max > 2 * 8192);
        // Half a thousand alerts; diagnoses of thirty services are 10 kB each.
        assert!(config.diagnose.keep > 500 && diagnoses > 200 * 10_000, "{config:?} {diagnoses}");
    }

    #[test]
    fn shares_are_all_there_is() {
        assert_eq!(SHARES.iter().map(|(_, percent)| percent).sum::<u64>(), 100);
    }
}
