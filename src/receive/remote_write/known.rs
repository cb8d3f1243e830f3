//! Series that came before: labels are read and checked once, and known again by the bytes they came as.
//!
//! Shared by all requests. A request looks up while others do, and what it learnt is added when it is done,
//! so nothing waits for anything while a body is read. When there is no more room, what did not come since
//! the last time there was none is forgotten; when that is not enough, new series stay unknown for a while:
//! they are read label by label, which takes longer and comes out the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::data::Labels;
use crate::hash::HashMap;
use crate::receive::metrics::Metrics;

/// Series known at a time.
const SERIES_MAX: usize = 250_000;
/// Bytes that they may take.
const BYTES_MAX: usize = 128 << 20;
/// What an entry takes beside the bytes of its labels.
const ENTRY_BYTES: usize = 96;

/// Labels of the series that came before. Of use to requests with the same limits and wishes only.
#[derive(Debug)]
pub struct Known {
    table: RwLock<Table>,
    known: Gauge,
    forgotten: Counter,
}

impl Default for Known {
    fn default() -> Self {
        Self::new(&Metrics::default())
    }
}

/// What a request adds: bytes, and the labels they are.
pub(super) type Learnt = Vec<(Arc<[u8]>, Labels)>;

impl Known {
    /// Nothing is known yet.
    pub fn new(metrics: &Metrics) -> Self {
        let table = Table::new(SERIES_MAX, BYTES_MAX);
        Self {
            table: RwLock::new(table),
            known: metrics.series_known.clone(),
            forgotten: metrics.series_forgotten.clone(),
        }
    }

    /// For as long as one request is read.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn(&self, learnt: Learnt) {
        if learnt.is_empty() {
            return;
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.expect(learnt.len());
        for (bytes, labels) in learnt {
            self.forgotten.inc_by(table.learn(bytes, labels));
        }
        self.known.set(table.by_bytes.len() as i64);
    }
}

#[derive(Debug)]
struct Entry {
    labels: Labels,
    /// Whether it came since room was last made.
    is_used: AtomicBool,
}

/// All that is known.
#[derive(Debug)]
pub(super) struct Table {
    by_bytes: HashMap<Arc<[u8]>, Entry>,
    bytes: usize,
    series_max: usize,
    bytes_max: usize,
    /// Series to let go before room is made again: everything is looked at for that.
    patience: usize,
}

fn cost(bytes: &Arc<[u8]>, labels: &Labels) -> usize {
    let own = if Arc::ptr_eq(bytes, labels.packed()) { 0 } else { bytes.len() };
    ENTRY_BYTES + own + labels.packed().len()
}

impl Table {
    fn new(series_max: usize, bytes_max: usize) -> Self {
        Self { by_bytes: HashMap::default(), bytes: 0, series_max, bytes_max, patience: 0 }
    }

    /// The labels that came as these bytes.
    #[inline]
    pub(super) fn get(&self, bytes: &[u8]) -> Option<&Labels> {
        let entry = self.by_bytes.get(bytes)?;
        // Read first: whoever writes takes the line from all others.
        if !entry.is_used.load(Ordering::Relaxed) {
            entry.is_used.store(true, Ordering::Relaxed);
        }
        Some(&entry.labels)
    }

    /// Makes the table large enough for `more` series at once, instead of step by step.
    fn expect(&mut self, more: usize) {
        let room = self.series_max.saturating_sub(self.by_bytes.len());
        // At least by half, or many small requests would each move everything.
        if self.by_bytes.capacity() < self.by_bytes.len() + more.min(room) {
            self.by_bytes.reserve(more.max(self.by_bytes.len() / 2).min(room));
        }
    }

    /// Adds a series; returns how many are unknown for want of room.
    fn learn(&mut self, bytes: Arc<[u8]>, labels: Labels) -> u64 {
        let cost = cost(&bytes, &labels);
        let mut forgotten = 0;
        if !self.has_room(cost) {
            if self.patience > 0 {
                self.patience -= 1;
                return 1;
            }
            forgotten = self.make_room();
            self.patience = self.series_max / 16;
            if !self.has_room(cost) {
                return forgotten + 1;
            }
        }
        let entry = Entry { labels, is_used: AtomicBool::new(true) };
        // Requests that run side by side learn the same.
        if self.by_bytes.insert(bytes, entry).is_none() {
            self.bytes += cost;
        }
        forgotten
    }

    fn has_room(&self, cost: usize) -> bool {
        self.by_bytes.len() < self.series_max && self.bytes + cost <= self.bytes_max
    }

    fn make_room(&mut self) -> u64 {
        let before = self.by_bytes.len();
        let mut bytes = 0;
        self.by_bytes.retain(|key, entry| {
            let keep = std::mem::take(entry.is_used.get_mut());
            bytes += if keep { cost(key, &entry.labels) } else { 0 };
            keep
        });
        self.bytes = bytes;
        (before - self.by_bytes.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Name;

    fn learn(table: &mut Table, n: usize) -> u64 {
        let labels: Labels = [(Name::from("n"), Name::from(n.to_string()))].into_iter().collect();
        table.learn(labels.packed().clone(), labels)
    }

    fn knows(table: &Table, n: usize) -> bool {
        let labels: Labels = [(Name::from("n"), Name::from(n.to_string()))].into_iter().collect();
        table.get(labels.packed()).is_some_and(|l| *l == labels)
    }

    #[test]
    fn what_does_not_come_again_makes_room_for_what_is_new() {
        let mut table = Table::new(32, usize::MAX);
        assert_eq!((0..32).map(|n| learn(&mut table, n)).sum::<u64>(), 0);
        // All are new, so all stay, and the next ones have to wait.
        assert_eq!(learn(&mut table, 100), 1);
        assert!((0..8).all(|n| knows(&table, n)));
        assert_eq!((learn(&mut table, 101), learn(&mut table, 102)), (1, 1));
        // 24 of 32 did not come again.
        assert_eq!(learn(&mut table, 103), 24);
        assert!((0..8).all(|n| knows(&table, n)) && knows(&table, 103));
        assert!(!knows(&table, 8) && !knows(&table, 100));
    }

    #[test]
    fn bytes_are_bounded_and_are_given_back() {
        let mut table = Table::new(1000, 10 * (ENTRY_BYTES + 12));
        let lost: u64 = (0..5000).map(|n| learn(&mut table, n)).sum();
        assert_eq!(lost as usize + table.by_bytes.len(), 5000);
        let real: usize = table.by_bytes.iter().map(|(key, e)| cost(key, &e.labels)).sum();
        assert!(table.bytes == real && real <= table.bytes_max, "{real} of {}", table.bytes_max);
    }
}
