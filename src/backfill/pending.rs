//! Spans that have been read and wait for their time.

use std::collections::{BTreeMap, HashSet};

use super::jaeger_json::{Placed, Trace};

/// Traces of one stretch whose ids are remembered.
const SEEN_MAX: usize = 1_000_000;
/// Spans that may wait.
pub(super) const PENDING_MAX: usize = 1_000_000;

/// Spans by their end. A trace that comes again, with another service's answer or in the next stretch, is
/// taken once.
#[derive(Debug)]
pub(super) struct Pending {
    /// What ended before has been sent, or is not wanted.
    start: i64,
    by_end: BTreeMap<i64, Vec<Placed>>,
    len: usize,
    /// Ids of this stretch and of the one before.
    seen: [HashSet<u128>; 2],
}

impl Pending {
    pub(super) fn new(start: i64) -> Self {
        Self { start, by_end: BTreeMap::new(), len: 0, seen: [HashSet::new(), HashSet::new()] }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes a trace; whether it is new. None: there is no room for it.
    pub(super) fn add(&mut self, trace: Trace) -> Option<bool> {
        if self.seen.iter().any(|s| s.contains(&trace.id)) {
            return Some(false);
        }
        if self.len.saturating_add(trace.spans.len()) > PENDING_MAX {
            return None;
        }
        if self.seen[0].len() >= SEEN_MAX {
            self.turn();
        }
        self.seen[0].insert(trace.id);
        let wanted = trace.spans.into_iter().filter(|s| s.end_ms >= self.start);
        for placed in wanted {
            self.len += 1;
            self.by_end.entry(placed.end_ms).or_default().push(placed);
        }
        Some(true)
    }

    /// Gives what ended before `end`, in that order.
    pub(super) fn take(&mut self, end: i64) -> Vec<Placed> {
        let rest = self.by_end.split_off(&end);
        let taken: Vec<Placed> =
            std::mem::replace(&mut self.by_end, rest).into_values().flatten().collect();
        self.len -= taken.len();
        self.start = end;
        taken
    }

    /// Another stretch begins: traces are remembered for one more.
    pub(super) fn turn(&mut self) {
        self.seen.swap(0, 1);
        self.seen[0].clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(id: u128, ends: &[i64]) -> Trace {
        let placed = |end_ms: &i64| Placed {
            end_ms: *end_ms,
            resource: std::sync::Arc::default(),
            span: Default::default(),
        };
        Trace { id, spans: ends.iter().map(placed).collect() }
    }

    #[test]
    fn spans_leave_in_the_order_they_ended_and_once() {
        let mut pending = Pending::new(100);
        assert_eq!(pending.add(trace(1, &[150, 90, 210, 120])), Some(true));
        assert_eq!(pending.add(trace(2, &[110])), Some(true));
        assert_eq!(pending.add(trace(1, &[150])), Some(false));
        let ends = |spans: Vec<Placed>| spans.iter().map(|s| s.end_ms).collect::<Vec<_>>();
        assert_eq!(ends(pending.take(200)), [110, 120, 150]);
        pending.turn();
        assert_eq!(pending.add(trace(1, &[205])), Some(false), "of the stretch before");
        assert_eq!(ends(pending.take(300)), [210]);
        assert_eq!(pending.len(), 0);
        pending.turn();
        assert_eq!(pending.add(trace(1, &[250, 350])), Some(true), "forgotten by now");
        assert_eq!(ends(pending.take(400)), [350], "but what has been sent is not sent again");
    }

    #[test]
    fn beyond_the_limit_nothing_is_taken() {
        let mut pending = Pending::new(0);
        assert_eq!(pending.add(trace(1, &vec![1; PENDING_MAX])), Some(true));
        assert_eq!(pending.add(trace(2, &[1])), None);
        assert_eq!(pending.len(), PENDING_MAX);
    }
}
