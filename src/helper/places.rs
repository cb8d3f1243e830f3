//! Places for connections: so many and no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of places.
#[derive(Debug)]
pub(crate) struct Places {
    taken: AtomicUsize,
    most: usize,
}

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), most })
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// One of them, unless all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        (self.taken.fetch_add(1, Ordering::AcqRel) < self.most).then_some(place)
    }
}

/// A place; free again when dropped, however its thread ends.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_and_each_can_be_had_again() {
        let places = Places::new(2);
        let (one, two) = (places.take(), places.take());
        assert!(one.is_some() && two.is_some());
        assert!(places.take().is_none() && places.take().is_none());
        drop(one);
        assert!(places.take().is_some_and(|_| places.take().is_none()));
    }
}
