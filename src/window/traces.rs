//! Spans waiting for their other half, by trace.
//!
//! A span waits until the interval in which it ended closes. A trace is forgotten when nothing in
//! it can matter any more; when too many spans wait, or they take too much memory, the traces that came
//! first go first.

use std::collections::VecDeque;

use super::names::Id;
use crate::data::{EventTime, Half};
use crate::hash::{HashMap, HashSet};

/// One trace as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Spans in order of arrival, without duplicates, and whether each is placed already.
    pub(super) spans: Vec<Waiting>,
    /// What is there already, once looking through `spans` takes too long.
    seen: Option<Box<HashSet<(u64, Half)>>>,
    newest_end_ms: i64,
    /// The interval that knows of this trace since the last span.
    noted: Option<i64>,
}

/// A span, its names as numbers, and what has become of it.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Span id.
    pub(super) id: u64,
    /// Parent span id, zero for a root.
    pub(super) parent: u64,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) service: Id,
    pub(super) replica: Id,
    /// Whose clock the times are by: the node, the replica or the service, whatever is known.
    pub(super) host: Id,
    pub(super) op: Id,
    /// The other side of a client span; nothing when its attributes do not say.
    pub(super) peer: Id,
    pub(super) half: Half,
    /// Whether the peer is a database.
    pub(super) is_database: bool,
    pub(super) failed: bool,
    /// Requests that this one stands for; 0 when it does not say.
    pub(super) weight: f32,
    /// Whether it has become part of an RPC already.
    pub(super) placed: bool,
    /// Whether it was counted as a half without its other half, and as nothing else.
    pub(super) missed: bool,
}

impl Waiting {
    /// End of the span in event time.
    pub(super) fn end_ms(&self) -> i64 {
        EventTime::from_nanos(self.end_ns).0
    }

    /// Duration in nanoseconds; zero when the clock ran backwards.
    pub(super) fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// What happened to a span that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It waits, and the interval in which it ended knows of its trace.
    Waits,
    /// It waits, and the interval in which it ended must be told of its trace.
    WaitsUnnoted,
    /// The same span is there already: senders deliver at least once.
    Duplicate,
    /// The trace is too long to be one request.
    Refused,
}

/// Spans of one trace. A trace id that never changes must not cost quadratic time.
const SPANS_MAX: usize = 10_000;
/// Room for so many more spans at least is asked for when another one comes: fewer would be asked for again and again.
const GROWTH_MIN: usize = 3;
/// Spans through which looking is as fast as a set.
const SPANS_FEW: usize = 48;

/// What a trace takes beside its spans: its place in the table, which is between half and nearly full, in the
/// order of arrival and in an interval (benches/memory.rs).
const TRACE_BYTES: usize = 208;
/// A place in a set of spans seen, as above.
const SEEN_BYTES: usize = 32;

impl Trace {
    /// What it takes in memory, about; nothing before its first span.
    fn held_bytes(&self) -> usize {
        if self.spans.is_empty() {
            return 0;
        }
        let seen = self.seen.as_ref().map_or(0, |seen| seen.capacity() * SEEN_BYTES);
        TRACE_BYTES + self.spans.capacity() * size_of::<Waiting>() + seen
    }

    /// Takes a span that ended in the interval that starts at `start_ms`; `more` are about to come.
    fn add(&mut self, span: Waiting, start_ms: i64, more: usize) -> Added {
        if self.spans.len() >= SPANS_MAX {
            return Added::Refused;
        }
        if !self.is_new(span.id, span.half) {
            return Added::Duplicate;
        }
        self.newest_end_ms = self.newest_end_ms.max(span.end_ms());
        let len = self.spans.len();
        if len == self.spans.capacity() {
            // A list that grows by itself begins with room for four, too much where most are alone, and doubles.
            let least = if len == 0 { 1 } else { GROWTH_MIN.max(len / 2) };
            self.spans.reserve_exact((1 + more).max(least).min(SPANS_MAX - len));
        }
        self.spans.push(span);
        if self.noted.replace(start_ms) == Some(start_ms) {
            Added::Waits
        } else {
            Added::WaitsUnnoted
        }
    }

    /// Whether the span is new. Caller and callee of a Zipkin-style RPC share one id: only the same half
    /// is a duplicate.
    fn is_new(&mut self, id: u64, half: Half) -> bool {
        if let Some(seen) = &mut self.seen {
            return seen.insert((id, half));
        }
        if self.spans.iter().any(|s| s.id == id && s.half == half) {
            return false;
        }
        if self.spans.len() >= SPANS_FEW {
            let seen = self.spans.iter().map(|s| (s.id, s.half)).chain([(id, half)]);
            self.seen = Some(Box::new(seen.collect()));
        }
        true
    }
}

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
    /// What all take, about.
    bytes: usize,
}

impl Traces {
    pub(super) fn new(waiting_max: usize) -> Self {
        let (by_id, arrival) = (HashMap::default(), VecDeque::new());
        Self { by_id, arrival, waiting: 0, waiting_max, bytes: 0 }
    }

    /// Adds a span of trace `id` that ended in the interval that starts at `start_ms`. So many `more` of the same
    /// trace come right after it.
    pub(super) fn add(&mut self, id: u128, span: Waiting, start_ms: i64, more: usize) -> Added {
        let arrival = &mut self.arrival;
        let trace = self.by_id.entry(id).or_insert_with(|| {
            arrival.push_back(id);
            Trace::default()
        });
        let before = trace.held_bytes();
        let added = trace.add(span, start_ms, more);
        // What a trace takes only grows.
        self.bytes += trace.held_bytes() - before;
        self.waiting += usize::from(matches!(added, Added::Waits | Added::WaitsUnnoted));
        added
    }

    /// Drops the traces that came first until no more wait than may, and they take at most `bytes_max`;
    /// returns the spans dropped.
    pub(super) fn evict(&mut self, bytes_max: usize) -> u64 {
        self.evict_down_to(self.waiting_max, bytes_max)
    }

    /// Drops the traces that came first until half of the spans are gone, and gives their memory back;
    /// returns the spans dropped.
    pub(super) fn relieve(&mut self) -> u64 {
        let dropped = self.evict_down_to(self.waiting / 2, usize::MAX);
        self.shrink();
        dropped
    }

    /// Tables stay as large as they ever were unless they are told otherwise.
    pub(super) fn shrink(&mut self) {
        if self.by_id.capacity() / SPARE > self.by_id.len().max(SPARE_MIN) {
            self.by_id.shrink_to(2 * self.by_id.len());
        }
        if self.arrival.capacity() / SPARE > self.arrival.len().max(SPARE_MIN) {
            self.arrival.shrink_to(2 * self.arrival.len());
        }
    }

    fn evict_down_to(&mut self, max: usize, bytes_max: usize) -> u64 {
        let mut dropped = 0;
        while self.waiting > max || self.bytes > bytes_max {
            let Some(id) = self.arrival.pop_front() else { break };
            if let Some(trace) = self.by_id.remove(&id) {
                self.waiting -= trace.spans.len();
                self.bytes -= trace.held_bytes();
                dropped += trace.spans.iter().filter(|s| !s.placed).count() as u64;
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
        let (waiting, bytes) = (&mut self.waiting, &mut self.bytes);
        self.by_id.retain(|_, trace| {
            let keep = trace.newest_end_ms >= before_ms;
            if !keep {
                *waiting -= trace.spans.len();
                *bytes -= trace.held_bytes();
            }
            keep
        });
        let by_id = &self.by_id;
        self.arrival.retain(|id| by_id.contains_key(id));
        self.shrink();
    }

    /// Whether the trace is there.
    pub(super) fn has(&self, id: u128) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Traces with spans that wait.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// What all take in memory, about.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Spans that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Every name that some span has.
    pub(super) fn names(&self) -> impl Iterator<Item = Id> {
        let spans = self.by_id.values().flat_map(|trace| &trace.spans);
        spans.flat_map(|s| [s.service, s.replica, s.host, s.op, s.peer])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u64) -> Waiting {
        Waiting {
            id,
            parent: 0,
            start_ns: 0,
            end_ns: 1_000_000,
            service: Id::USER,
            replica: Id::NOTHING,
            host: Id::USER,
            op: Id::USER,
            peer: Id::NOTHING,
            half: Half::Client,
            is_database: false,
            failed: false,
            weight: 0.0,
            placed: false,
            missed: false,
        }
    }

    fn real(traces: &Traces) -> usize {
        traces.by_id.values().map(Trace::held_bytes).sum()
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_what_came_first_goes_first() {
        let mut traces = Traces::new(usize::MAX);
        for id in 0..100 {
            // Long ones, short ones, and a duplicate in each.
            for n in (0..id % 9 + 1).chain([0]) {
                traces.add(id.into(), span(n), 0, 0);
            }
        }
        let (before, waiting) = (traces.held_bytes(), traces.waiting());
        assert_eq!(before, real(&traces));
        let dropped = traces.evict(before / 2);
        let after = traces.held_bytes();
        assert!(after <= before / 2 && after > before / 2 - 2000, "{after} of {before}");
        assert_eq!((after, waiting - traces.waiting()), (real(&traces), dropped as usize));
        assert!(!traces.has(0) && traces.has(99));
        traces.forget(i64::MAX);
        assert_eq!((traces.held_bytes(), traces.len(), traces.waiting()), (0, 0, 0));
    }

    #[test]
    fn a_set_of_spans_seen_counts_too() {
        let mut traces = Traces::new(usize::MAX);
        for n in 0..1000 {
            assert_eq!(traces.add(7, span(n), 0, 0) == Added::WaitsUnnoted, n == 0);
        }
        let spans = 1000 * size_of::<Waiting>();
        assert!(traces.held_bytes() > spans + 1000 * size_of::<(u64, Half)>());
        assert_eq!(traces.held_bytes(), real(&traces));
    }

    #[test]
    fn a_trace_has_room_for_what_comes_with_it_and_little_beyond() {
        let capacity = |traces: &Traces| traces.by_id[&1].spans.capacity();
        let mut traces = Traces::new(usize::MAX);
        for n in 0..9 {
            traces.add(1, span(n), 0, 8 - n as usize);
            assert_eq!(capacity(&traces), 9);
        }
        // One at a time, by half.
        for n in 9..1000 {
            traces.add(1, span(n), 0, 0);
            assert!(2 * capacity(&traces) <= 3 * (n as usize + 1), "{n}");
        }
        // However many are said to come.
        traces.add(2, span(0), 0, usize::MAX / 2);
        assert_eq!(traces.by_id[&2].spans.capacity(), SPANS_MAX);
        assert_eq!(traces.held_bytes(), real(&traces));
    }
}
