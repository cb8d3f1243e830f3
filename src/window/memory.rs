//! What is known from earlier traces: who sends spans, and who usually calls whom on whose behalf.

use super::answerers::Answerers;
use super::names::Id;
use super::rpcs::Key;
use super::traces::Waiting;
use crate::hash::{HashMap, HashSet};

/// Requests to an operation after which older ones count half.
const REQUESTS_MAX: u32 = 1000;
/// An operation is called from inside when at most one request in so many lacks its caller's half.
const STRAYS: u32 = 10;

/// What is known from earlier traces.
#[derive(Debug)]
pub(super) struct Memory {
    /// Entries of each part before it starts over.
    max: usize,
    /// Services that send server halves: never virtual nodes.
    instrumented: HashSet<Id>,
    /// Requests to each (service, operation) with a caller's half and without, the older the less.
    requests: HashMap<(Id, Id), (u32, u32)>,
    /// Caller operation by (caller, callee, operation), for calls whose own enclosing server span
    /// has not arrived yet (a request still running when the interval closed).
    callers: HashMap<(Id, Id, Id), Id>,
    /// Who usually answers a call.
    pub(super) answerers: Answerers,
}

impl Memory {
    /// Nothing is known yet, and no part will have more than `max` entries.
    pub(super) fn new(max: usize) -> Self {
        let (instrumented, requests, callers) =
            (HashSet::default(), HashMap::default(), HashMap::default());
        Self { max, instrumented, requests, callers, answerers: Answerers::new(max) }
    }

    pub(super) fn remember(&mut self, key: &Key) {
        if self.callers.len() >= self.max {
            self.callers.clear();
        }
        self.callers.insert((key.caller, key.callee, key.op), key.caller_op);
    }

    pub(super) fn recall(&self, caller: Id, callee: Id, op: Id) -> Id {
        self.callers.get(&(caller, callee, op)).copied().unwrap_or_default()
    }

    /// Counts a request that `server` served.
    pub(super) fn count(&mut self, server: &Waiting, has_caller: bool) {
        let at = (server.service, server.op);
        if self.requests.len() >= self.max && !self.requests.contains_key(&at) {
            self.requests.clear();
        }
        let (with, without) = self.requests.entry(at).or_default();
        *(if has_caller { &mut *with } else { &mut *without }) += 1;
        if *with + *without >= REQUESTS_MAX {
            (*with, *without) = (*with / 2, *without / 2);
        }
    }

    /// Whether a request of this kind nearly always has a caller that sends spans.
    pub(super) fn has_callers(&self, server: &Waiting) -> bool {
        let known = self.requests.get(&(server.service, server.op));
        known.is_some_and(|(with, without)| *with > STRAYS * *without)
    }

    /// Notes that `service` sends spans of its own.
    pub(super) fn instrument(&mut self, service: Id) {
        if self.instrumented.len() < self.max {
            self.instrumented.insert(service);
        }
    }

    /// Whether `service` sends spans of its own.
    pub(super) fn is_instrumented(&self, service: Id) -> bool {
        self.instrumented.contains(&service)
    }

    /// Every name that is remembered.
    pub(super) fn names(&self) -> impl Iterator<Item = Id> {
        let requests = self.requests.keys().flat_map(|(service, op)| [*service, *op]);
        let callers = self.callers.iter();
        let callers = callers.flat_map(|((caller, callee, op), by)| [*caller, *callee, *op, *by]);
        let known = self.instrumented.iter().copied().chain(requests).chain(callers);
        known.chain(self.answerers.names())
    }
}
