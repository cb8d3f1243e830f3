//! RPCs of one open interval: counts and latency sketches, bounded in number.

use super::names::{Id, Names};
use super::pair::Call;
use super::sketch::Sketch;
use super::skew::Skews;
use crate::data::{RpcKey, RpcKind, RpcWindow};
use crate::hash::{HashMap, HashSet};

/// An [`RpcKey`] with its names as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) caller: Id,
    pub(super) caller_op: Id,
    pub(super) callee: Id,
    pub(super) op: Id,
}

/// Everything beyond the limit.
const OVERFLOW: Key =
    Key { caller: Id::OVERFLOW, caller_op: Id::NOTHING, callee: Id::OVERFLOW, op: Id::OVERFLOW };

#[derive(Debug)]
struct Sketches {
    kind: RpcKind,
    failed: u64,
    client: Sketch,
    server: Sketch,
    request: Sketch,
    response: Sketch,
}

impl Sketches {
    fn new(kind: RpcKind) -> Self {
        Self {
            kind,
            failed: 0,
            client: Sketch::default(),
            server: Sketch::default(),
            request: Sketch::default(),
            response: Sketch::default(),
        }
    }

    fn add(&mut self, call: &Call, skews: &Skews) {
        // Calls of one RPC may be seen differently; the fuller view names the kind.
        if call.kind == RpcKind::Paired {
            self.kind = RpcKind::Paired;
        }
        self.failed += u64::from(call.failed);
        self.client.insert(call.client_ns);
        self.server.insert(call.server_ns);
        if let Some((hosts, raw)) = call.delays {
            let (request, response) = raw.split(skews.offset_ns(hosts));
            self.request.insert(request);
            self.response.insert(response);
        }
    }
}

/// RPCs of one interval.
#[derive(Debug, Default)]
pub(super) struct Rpcs {
    by_key: HashMap<Key, Sketches>,
    /// Operations seen, each with its service, and how many each service has.
    operations: HashSet<(Id, Id)>,
    operations_of: HashMap<Id, usize>,
    /// Calls that went to the overflow RPC or operation.
    pub(super) overflowed: u64,
}

impl Rpcs {
    /// Counts one call.
    pub(super) fn add(&mut self, call: &Call, skews: &Skews, rpcs_max: usize, ops_max: usize) {
        // An RPC that is there has operations that are known.
        if let Some(sketches) = self.by_key.get_mut(&call.key) {
            self.overflowed += u64::from(call.key.op == Id::OVERFLOW);
            sketches.add(call, skews);
            return;
        }
        let key = self.bounded(call.key, rpcs_max, ops_max);
        let sketches = self.by_key.entry(key).or_insert_with(|| Sketches::new(call.kind));
        sketches.add(call, skews);
    }

    fn bounded(&mut self, mut key: Key, rpcs_max: usize, ops_max: usize) -> Key {
        key.op = self.operation(key.callee, key.op, ops_max);
        // The same operations as where the caller is the callee, so that the two join.
        key.caller_op = self.operation(key.caller, key.caller_op, ops_max);
        if self.by_key.len() >= rpcs_max && !self.by_key.contains_key(&key) {
            key = OVERFLOW;
        }
        self.overflowed += u64::from(key.op == Id::OVERFLOW);
        key
    }

    fn operation(&mut self, service: Id, op: Id, ops_max: usize) -> Id {
        if op.is_nothing() || self.operations.contains(&(service, op)) {
            return op;
        }
        let known = self.operations_of.entry(service).or_default();
        if *known >= ops_max {
            return Id::OVERFLOW;
        }
        *known += 1;
        self.operations.insert((service, op));
        op
    }

    /// The windows, sorted by key.
    pub(super) fn close(self, names: &Names) -> Vec<RpcWindow> {
        let name = |id| names.name(id).clone();
        let window = |(key, s): (Key, Sketches)| RpcWindow {
            key: RpcKey {
                caller: name(key.caller),
                caller_op: name(key.caller_op),
                callee: name(key.callee),
                op: name(key.op),
            },
            kind: s.kind,
            count: s.client.count(),
            failed: s.failed,
            client: s.client.percentiles(),
            server: s.server.percentiles(),
            request: s.request.percentiles(),
            response: s.response.percentiles(),
        };
        let mut windows: Vec<RpcWindow> = self.by_key.into_iter().map(window).collect();
        windows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        windows
    }
}
