//! Spans waiting for their other half, by trace.
//!
//! A span waits until the interval in which it ended closes. A trace is forgotten when nothing in
//! it can matter any more; when too many spans wait, the traces that came first go first.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::data::{EventTime, Half, Span};

/// One trace as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Spans in order of arrival, without duplicates, and whether each is placed already.
    pub(super) spans: Vec<Waiting>,
    /// Caller and callee of a Zipkin-style RPC share one id: only the same half is a duplicate.
    seen: HashSet<(u64, Half)>,
    newest_end_ms: i64,
}

/// A span and whether it has become part of an RPC already.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) span: Span,
    pub(super) placed: bool,
    /// Whether it was counted as a half without its other half.
    pub(super) missed: bool,
}

impl Waiting {
    /// End of the span in event time.
    pub(super) fn end_ms(&self) -> i64 {
        EventTime::from_nanos(self.span.end_ns).0
    }
}

/// What happened to a span that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It waits.
    Waits,
    /// The same span is there already: senders deliver at least once.
    Duplicate,
    /// The trace is too long to be one request.
    Refused,
}

/// Spans of one trace. A trace id that never changes must not cost quadratic time.
const SPANS_MAX: usize = 10_000;

/// A table this many times too large, and larger than so many traces would need, is made smaller.
const SPARE: usize = 4;
const SPARE_MIN: usize = 1000;

/// All waiting traces.
#[derive(Debug)]
pub(super) struct Traces {
    by_id: HashMap<u128, Trace>,
    arrival: VecDeque<u128>,
    waiting: usize,
    waiting_max: usize,
}

impl Traces {
    pub(super) fn new(waiting_max: usize) -> Self {
        Self { by_id: HashMap::new(), arrival: VecDeque::new(), waiting: 0, waiting_max }
    }

    /// Adds a span.
    pub(super) fn add(&mut self, span: Span) -> Added {
        let arrival = &mut self.arrival;
        let trace = self.by_id.entry(span.trace).or_insert_with(|| {
            arrival.push_back(span.trace);
            Trace::default()
        });
        if trace.spans.len() >= SPANS_MAX {
            return Added::Refused;
        }
        if !trace.seen.insert((span.id, span.half)) {
            return Added::Duplicate;
        }
        trace.newest_end_ms = trace.newest_end_ms.max(EventTime::from_nanos(span.end_ns).0);
        trace.spans.push(Waiting { span, placed: false, missed: false });
        self.waiting += 1;
        Added::Waits
    }

    /// Drops the traces that came first until the limit holds again; returns the spans dropped.
    pub(super) fn evict(&mut self) -> u64 {
        self.evict_down_to(self.waiting_max)
    }

    /// Drops the traces that came first until half of the spans are gone, and gives their memory back;
    /// returns the spans dropped.
    pub(super) fn relieve(&mut self) -> u64 {
        let dropped = self.evict_down_to(self.waiting / 2);
        self.shrink();
        dropped
    }

    /// Tables stay as large as they ever were unless they are told otherwise.
    fn shrink(&mut self) {
        if self.by_id.capacity() / SPARE > self.by_id.len().max(SPARE_MIN) {
            self.by_id.shrink_to(2 * self.by_id.len());
        }
        if self.arrival.capacity() / SPARE > self.arrival.len().max(SPARE_MIN) {
            self.arrival.shrink_to(2 * self.arrival.len());
        }
    }

    fn evict_down_to(&mut self, max: usize) -> u64 {
        let mut dropped = 0;
        while self.waiting > max {
            let Some(id) = self.arrival.pop_front() else { break };
            if let Some(trace) = self.by_id.remove(&id) {
                self.waiting -= trace.spans.len();
                dropped += trace.spans.iter().filter(|w| !w.placed).count() as u64;
            }
        }
        dropped
    }

    /// The trace, if it is still there.
    pub(super) fn get_mut(&mut self, id: u128) -> Option<&mut Trace> {
        self.by_id.get_mut(&id)
    }

    /// Forgets traces whose every span ended before `before_ms`.
    pub(super) fn forget(&mut self, before_ms: i64) {
        let waiting = &mut self.waiting;
        self.by_id.retain(|_, trace| {
            let keep = trace.newest_end_ms >= before_ms;
            if !keep {
                *waiting -= trace.spans.len();
            }
            keep
        });
        let by_id = &self.by_id;
        self.arrival.retain(|id| by_id.contains_key(id));
        self.shrink();
    }

    /// Spans that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}
