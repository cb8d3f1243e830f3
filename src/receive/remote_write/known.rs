//! Series that came before: labels are read and checked once, and known again by the bytes they came as.
//!
//! Shared by all requests. A request looks up while others do, and what it learnt is added when it is done,
//! so nothing waits for anything while a body is read. When there is no more room, what did not come since
//! the last time there was none is forgotten; when that is not enough, new series stay unknown for a while:
//! they are read label by label, which takes longer and comes out the same.
//!
//! Senders send series in the same order again and again. So each is looked for where the one before it stands,
//! one further, before it is looked up: to compare bytes takes a fraction of what it takes to find where labels
//! end, to hash them, and to go where that leads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::key::LABEL;
use crate::data::Labels;
use crate::hash::HashMap;
use crate::receive::config::Config;
use crate::receive::metrics::Metrics;

/// What an entry takes beside the bytes of its labels: its place in the table, which is between half and
/// nearly full, and what the allocator adds.
const ENTRY_BYTES: usize = 160;

/// Labels of the series that came before. Of use to requests with the same limits and wishes only.
#[derive(Debug)]
pub struct Known {
    table: RwLock<Table>,
    known: Gauge,
    forgotten: Counter,
}

impl Default for Known {
    fn default() -> Self {
        Self::new(Config::default().known_bytes_max, &Metrics::default())
    }
}

/// What a request adds: bytes, and the labels they are.
pub(super) type Learnt = Vec<(Arc<[u8]>, Labels)>;

impl Known {
    /// Nothing is known yet, and what will be may take `bytes_max`.
    pub fn new(bytes_max: usize, metrics: &Metrics) -> Self {
        let table = Table::new(bytes_max);
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

    /// Gives memory back: all of it. What comes again is read label by label once more.
    pub fn relieve(&self) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        self.forgotten.inc_by(table.by_bytes.len() as u64);
        *table = Table::new(table.bytes_max);
        self.known.set(0);
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
    /// The bytes it is known by.
    key: Arc<[u8]>,
    labels: Labels,
    /// Whether it came since room was last made.
    is_used: AtomicBool,
}

/// All that is known.
#[derive(Debug)]
pub(super) struct Table {
    /// Where entries stand.
    by_bytes: HashMap<Arc<[u8]>, u32>,
    /// In the order in which they were learnt, but for those that took the place of others.
    entries: Vec<Option<Entry>>,
    /// Places that are nobody's, the first on top.
    free: Vec<u32>,
    bytes: usize,
    bytes_max: usize,
    /// Series to let go before room is made again: everything is looked at for that.
    patience: usize,
}

impl Entry {
    /// Its labels, which came again.
    #[inline]
    fn used(&self) -> &Labels {
        // Read first: whoever writes takes the line from all others.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        &self.labels
    }
}

/// Where a series stands in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// Where the series that is sent next stands, if the sender keeps to its order.
    #[inline]
    pub(super) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

fn cost(bytes: &Arc<[u8]>, labels: &Labels) -> usize {
    let own = if Arc::ptr_eq(bytes, labels.packed()) { 0 } else { bytes.len() };
    ENTRY_BYTES + own + labels.packed().len()
}

impl Table {
    fn new(bytes_max: usize) -> Self {
        let (entries, free) = (Vec::new(), Vec::new());
        Self { by_bytes: HashMap::default(), entries, free, bytes: 0, bytes_max, patience: 0 }
    }

    /// The labels that came as these bytes, and where they stand; `guess` is where they may.
    #[inline]
    pub(super) fn get(&self, bytes: &[u8], guess: Place) -> Option<(&Labels, Place)> {
        let place = match self.entry(guess) {
            Some(entry) if *entry.key == *bytes => guess,
            _ => Place(*self.by_bytes.get(bytes)?),
        };
        self.entry(place).map(|entry| (entry.used(), place))
    }

    /// The labels that stand at `guess`, if a series of 1.0 begins with just these, and how many bytes they are.
    #[inline]
    pub(super) fn begins(&self, series: &[u8], guess: Place) -> Option<(&Labels, usize)> {
        let entry = self.entry(guess)?;
        let rest = series.strip_prefix(&*entry.key)?;
        // One label more makes it another series.
        if rest.first() == Some(&LABEL) { None } else { Some((entry.used(), entry.key.len())) }
    }

    #[inline]
    fn entry(&self, place: Place) -> Option<&Entry> {
        self.entries.get(place.0 as usize)?.as_ref()
    }

    /// Makes the table large enough for `more` series at once, instead of step by step.
    fn expect(&mut self, more: usize) {
        // At most as many as still have room, were they as small as those that are there.
        let len = self.by_bytes.len();
        let usual = (self.bytes / len.max(1)).max(ENTRY_BYTES);
        let room = self.bytes_max.saturating_sub(self.bytes) / usual;
        // At least by half, or many small requests would each move everything.
        if self.by_bytes.capacity() < len + more.min(room) {
            self.by_bytes.reserve(more.max(len / 2).min(room));
            self.entries.reserve(more.max(len / 2).min(room).saturating_sub(self.free.len()));
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
            self.patience = self.by_bytes.len() / 16;
            if !self.has_room(cost) {
                return forgotten + 1;
            }
        }
        // Requests that run side by side learn the same.
        if !self.by_bytes.contains_key(&bytes) {
            self.bytes += cost;
            self.insert(Entry { key: bytes, labels, is_used: AtomicBool::new(true) });
        }
        forgotten
    }

    fn insert(&mut self, entry: Entry) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            // Each takes a hundred bytes: four billion do not fit into memory.
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        self.by_bytes.insert(entry.key.clone(), place);
        self.entries[place as usize] = Some(entry);
    }

    fn has_room(&self, cost: usize) -> bool {
        self.bytes + cost <= self.bytes_max
    }

    fn make_room(&mut self) -> u64 {
        let before = self.by_bytes.len();
        for place in (0..self.entries.len()).rev() {
            let was_used = |e: &mut Entry| std::mem::take(e.is_used.get_mut());
            let gone = self.entries[place].take_if(|entry| !was_used(entry));
            let Some(Entry { key, labels, .. }) = gone else { continue };
            self.bytes -= cost(&key, &labels);
            self.by_bytes.remove(&key);
            self.free.push(u32::try_from(place).unwrap_or(u32::MAX));
        }
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
        table.get(labels.packed(), Place(0)).is_some_and(|(l, _)| *l == labels)
    }

    /// Room for `n` of the series of [`learn`].
    fn room(n: usize) -> usize {
        n * (ENTRY_BYTES + 10)
    }

    #[test]
    fn what_does_not_come_again_makes_room_for_what_is_new() {
        // Two digits each, so that all take the same.
        let mut table = Table::new(room(32));
        assert_eq!((10..42).map(|n| learn(&mut table, n)).sum::<u64>(), 0);
        // All are new, so all stay, and the next ones have to wait.
        assert_eq!(learn(&mut table, 50), 1);
        assert!((10..18).all(|n| knows(&table, n)));
        assert_eq!((learn(&mut table, 51), learn(&mut table, 52)), (1, 1));
        // 24 of 32 did not come again.
        assert_eq!(learn(&mut table, 53), 24);
        assert!((10..18).all(|n| knows(&table, n)) && knows(&table, 53));
        assert!(!knows(&table, 18) && !knows(&table, 50));
    }

    #[test]
    fn bytes_are_bounded_and_are_given_back() {
        let mut table = Table::new(room(10));
        let lost: u64 = (0..5000).map(|n| learn(&mut table, n)).sum();
        assert_eq!(lost as usize + table.by_bytes.len(), 5000);
        let all = table.entries.iter().flatten();
        let real: usize = all.map(|e| cost(&e.key, &e.labels)).sum();
        assert!(table.bytes == real && real <= table.bytes_max, "{real} of {}", table.bytes_max);
    }

    #[test]
    fn a_series_is_found_where_it_is_guessed_and_where_it_is_not() {
        let mut table = Table::new(usize::MAX);
        assert_eq!((10..20).map(|n| learn(&mut table, n)).sum::<u64>(), 0);
        let of = |n: usize| -> Labels {
            [(Name::from("n"), Name::from(n.to_string()))].into_iter().collect()
        };
        for guess in [0, 3, 4, 9, 10, u32::MAX] {
            let labels = of(13);
            let found = table.get(labels.packed(), Place(guess));
            assert_eq!(found, Some((&labels, Place(3))), "{guess}");
            let mut series = labels.packed().to_vec();
            let end = series.len();
            // A sample follows.
            series.extend([0x12, 0]);
            let expected = (guess == 3).then_some((&labels, end));
            assert_eq!(table.begins(&series, Place(guess)), expected, "{guess}");
            // A label follows.
            series[end] = LABEL;
            assert_eq!(table.begins(&series, Place(guess)), None);
        }
        assert_eq!((Place(3).next(), Place(u32::MAX).next()), (Place(4), Place(0)));
    }

    #[test]
    fn when_memory_is_short_all_is_forgotten_and_learnt_again() {
        let metrics = Metrics::default();
        let known = Known::new(room(10), &metrics);
        let labels: Labels = [(Name::from("n"), Name::from("1"))].into_iter().collect();
        let learn = || known.learn(vec![(labels.packed().clone(), labels.clone())]);
        learn();
        known.relieve();
        assert!(known.read().get(labels.packed(), Place(0)).is_none());
        assert_eq!((metrics.series_known.get(), metrics.series_forgotten.get()), (0, 1));
        learn();
        assert!(known.read().get(labels.packed(), Place(0)).is_some());
    }
}
