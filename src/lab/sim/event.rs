//! What happens next.
//!
//! In: events in any order. Out: the same by time. Equal times are ordered by what they concern, so
//! that the order never depends on how the queue was filled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What happens. The index that goes with it names a frame, a replica or a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happens {
    /// The frame's request reaches its replica.
    Arrive,
    /// A worker thread takes the frame's request.
    Start,
    /// The frame's current step is over.
    Continue,
    /// The frame's response reaches its caller.
    Return,
    /// The replica is scraped.
    Scrape,
    /// The service is probed.
    Probe,
    /// The host is scraped.
    ScrapeHost,
}

/// Sixteen bytes on purpose: the queue is the hottest memory there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) at_ns: u64,
    pub(super) happens: Happens,
    pub(super) index: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Agenda(BinaryHeap<Reverse<Event>>);

impl Agenda {
    pub(super) fn push(&mut self, at_ns: u64, happens: Happens, index: u32) {
        self.0.push(Reverse(Event { at_ns, happens, index }));
    }

    /// The next event, if it happens before `end_ns`.
    pub(super) fn pop_before(&mut self, end_ns: u64) -> Option<Event> {
        if self.0.peek()?.0.at_ns >= end_ns {
            return None;
        }
        self.0.pop().map(|Reverse(event)| event)
    }
}
