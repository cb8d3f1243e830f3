//! Series that are followed: where the state of each is, and what they add up to when an interval closes.

use std::sync::Arc;

use super::row::Row;
use super::series::SeriesState;
use super::target::{Binding, Part, Target};
use super::targets::Targets;
use crate::data::{Interval, Labels, Name};
use crate::hash::HashMap;

/// A series counts as one more for every so many bytes of its labels: few have as many.
const LABELS_BYTES: usize = 1024;

/// Where the state of a series is, as long as it is followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot(usize);

/// What every sample needs of its series.
#[derive(Debug)]
struct Hot {
    labels: Labels,
    state: SeriesState,
}

/// What an interval that closes needs of it.
#[derive(Debug)]
struct Bound {
    /// Number of the target.
    target: usize,
    /// Host of a replica, empty when unknown.
    node: Name,
    /// The same by its address.
    address: Name,
    feeds: Vec<(usize, Part)>,
}

/// What the series of one target say of an interval.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) row: Row,
    /// Where it is, as the first series that knows says.
    pub(super) node: Name,
    /// The same by its address, as the same series says.
    pub(super) address: Name,
}

/// As how many series one with these labels counts.
fn weight(labels: &Labels) -> usize {
    1 + labels.packed().len() / LABELS_BYTES
}

/// All series that are followed.
#[derive(Debug)]
pub(super) struct Followed {
    series_max: usize,
    /// Series followed, those with long labels counted as several.
    weight: usize,
    /// Where the state of each series is.
    slots: HashMap<Labels, Slot>,
    states: Vec<Option<Hot>>,
    /// Beside `states`.
    bounds: Vec<Option<Bound>>,
    targets: Targets,
    /// The slot behind the one that was found last. Senders send series in the same order again and again, and
    /// slots are given in that order.
    next: usize,
    /// Slots that are nobody's.
    free: Vec<Slot>,
}

impl Followed {
    /// At most `series_max` will be followed.
    pub(super) fn new(series_max: usize) -> Self {
        Self {
            series_max,
            weight: 0,
            slots: HashMap::default(),
            states: Vec::new(),
            bounds: Vec::new(),
            targets: Targets::default(),
            next: 0,
            free: Vec::new(),
        }
    }

    /// The slot of the series with these labels, if it is followed.
    #[inline]
    pub(super) fn find(&mut self, labels: &Labels) -> Option<Slot> {
        let is_next = match self.states.get(self.next) {
            Some(Some(hot)) => Arc::ptr_eq(hot.labels.packed(), labels.packed()),
            _ => false,
        };
        let slot = if is_next { Slot(self.next) } else { *self.slots.get(labels)? };
        self.next = slot.0 + 1;
        Some(slot)
    }

    /// Whether one more can be followed that has these labels.
    pub(super) fn has_room(&self, labels: &Labels) -> bool {
        self.weight + weight(labels) <= self.series_max
    }

    /// Whether none can.
    pub(super) fn is_full(&self) -> bool {
        self.weight >= self.series_max
    }

    /// Follows a series that is not followed yet.
    pub(super) fn insert(&mut self, labels: &Labels, binding: Binding, state: SeriesState) -> Slot {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.states.push(None);
                self.bounds.push(None);
                Slot(self.states.len() - 1)
            }
        };
        let Binding { target, node, address, feeds, .. } = binding;
        let labels = labels.clone();
        self.weight += weight(&labels);
        self.states[slot.0] = Some(Hot { labels: labels.clone(), state });
        let target = self.targets.take(target);
        self.bounds[slot.0] = Some(Bound { target, node, address, feeds });
        self.slots.insert(labels, slot);
        self.next = slot.0 + 1;
        slot
    }

    /// The state of a series that is followed; `None` of a slot that is nobody's.
    #[inline]
    pub(super) fn state(&mut self, slot: Slot) -> Option<&mut SeriesState> {
        self.states.get_mut(slot.0)?.as_mut().map(|hot| &mut hot.state)
    }

    /// Series followed.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Series followed, those with long labels counted as several.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// What the series of each target say of `interval`.
    pub(super) fn add_up(&mut self, interval: Interval) -> Vec<(Target, Seen)> {
        let mut seen: Vec<Option<Seen>> = self.targets.iter().map(|_| None).collect();
        for (hot, bound) in self.states.iter_mut().flatten().zip(self.bounds.iter().flatten()) {
            let (value, lost) = (hot.state.close(interval), hot.state.lost());
            if value.or(lost).is_none() {
                continue;
            }
            let seen = seen[bound.target].get_or_insert_with(Seen::default);
            if seen.node.is_empty() && !bound.node.is_empty() {
                (seen.node, seen.address) = (bound.node.clone(), bound.address.clone());
            }
            for (feature, part) in &bound.feeds {
                let said = if *part == Part::Lost { lost } else { value };
                let Some(value) = said else { continue };
                let parts = seen.row.at(*feature);
                let cell = if *part == Part::Divisor { &mut parts.1 } else { &mut parts.0 };
                *cell = Some(cell.unwrap_or(0.0) + value);
            }
        }
        let all = self.targets.iter().zip(seen);
        all.filter_map(|(target, seen)| Some((target?.clone(), seen?))).collect()
    }

    /// Lets go of the series of which nothing has come since `since_ms`.
    pub(super) fn forget(&mut self, since_ms: i64) {
        for at in 0..self.states.len() {
            let Some(hot) = self.states[at].take_if(|hot| hot.state.is_silent(since_ms)) else {
                continue;
            };
            if let Some(bound) = self.bounds[at].take() {
                self.targets.give_back(bound.target);
            }
            self.weight -= weight(&hot.labels);
            self.slots.remove(&hot.labels);
            self.free.push(Slot(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MetricKind;

    fn labels(n: usize) -> Labels {
        [(Name::from("n"), Name::from(n.to_string()))].into_iter().collect()
    }

    fn follow(followed: &mut Followed, labels: &Labels) -> usize {
        let target = Target::Node("n1".into());
        let (kind, feeds) = (MetricKind::Gauge, vec![(0, Part::Value)]);
        let (node, address) = (Name::default(), Name::default());
        let binding = Binding { target, node, address, kind, feeds };
        followed.insert(labels, binding, SeriesState::new(kind, 30_000, 300_000)).0
    }

    #[test]
    fn a_series_is_found_in_any_order_and_also_by_labels_that_only_equal_its_own() {
        let mut followed = Followed::new(usize::MAX);
        let all: Vec<Labels> = (0..50).map(labels).collect();
        for (n, one) in all.iter().enumerate() {
            assert_eq!(follow(&mut followed, one), n);
        }
        let places = |n: usize| [n, (n * 7) % 50, 49 - n, n];
        for n in (0..50).flat_map(places) {
            assert_eq!(followed.find(&all[n]).unwrap().0, n);
            assert_eq!(followed.find(&labels(n)).unwrap().0, n);
        }
        assert!(followed.find(&labels(50)).is_none());
        followed.forget(i64::MAX);
        assert!(followed.find(&all[0]).is_none() && followed.len() == 0);
        // Slots are used again.
        assert!(follow(&mut followed, &all[7]) < 50);
        assert!(followed.find(&all[7]).is_some());
    }
}
