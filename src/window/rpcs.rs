//! RPCs of one open interval: counts and latency sketches, bounded in number.

use std::collections::BTreeMap;

use super::pair::Call;
use super::sketch::Sketch;
use super::skew::Skews;
use crate::data::{Name, OVERFLOW, RpcKey, RpcKind, RpcWindow};
use crate::hash::{HashMap, HashSet};

#[derive(Debug)]
struct Sketches {
    kind: RpcKind,
    failed: u64,
    client: Sketch,
    server: Sketch,
    request: Sketch,
    response: Sketch,
}

/// RPCs of one interval.
#[derive(Debug, Default)]
pub(super) struct Rpcs {
    by_key: BTreeMap<RpcKey, Sketches>,
    /// Operations seen by callee.
    operations: HashMap<Name, HashSet<Name>>,
    /// Calls that went to the overflow RPC or operation.
    pub(super) overflowed: u64,
}

impl Rpcs {
    /// Counts one call.
    pub(super) fn add(&mut self, call: Call, skews: &Skews, rpcs_max: usize, ops_max: usize) {
        let key = self.bounded(call.key, rpcs_max, ops_max);
        let entry = self.by_key.entry(key).or_insert_with(|| Sketches {
            kind: call.kind,
            failed: 0,
            client: Sketch::default(),
            server: Sketch::default(),
            request: Sketch::default(),
            response: Sketch::default(),
        });
        // Calls of one RPC may be seen differently; the fuller view names the kind.
        if call.kind == RpcKind::Paired {
            entry.kind = RpcKind::Paired;
        }
        entry.failed += u64::from(call.failed);
        entry.client.insert(call.client_ns);
        entry.server.insert(call.server_ns);
        if let Some((hosts, raw)) = call.delays {
            let (request, response) = raw.split(skews.offset_ns(&hosts));
            entry.request.insert(request);
            entry.response.insert(response);
        }
    }

    fn bounded(&mut self, mut key: RpcKey, rpcs_max: usize, ops_max: usize) -> RpcKey {
        key.op = self.operation(&key.callee, key.op, ops_max);
        // The same operations as where the caller is the callee, so that the two join.
        key.caller_op = self.operation(&key.caller, key.caller_op, ops_max);
        if self.by_key.len() >= rpcs_max && !self.by_key.contains_key(&key) {
            key = RpcKey::new(OVERFLOW, "", OVERFLOW, OVERFLOW);
        }
        self.overflowed += u64::from(&*key.op == OVERFLOW);
        key
    }

    fn operation(&mut self, service: &Name, op: Name, ops_max: usize) -> Name {
        let known = self.operations.entry(service.clone()).or_default();
        if op.is_empty() || known.contains(&op) {
            return op;
        }
        if known.len() >= ops_max {
            return OVERFLOW.into();
        }
        known.insert(op.clone());
        op
    }

    /// The windows, sorted by key.
    pub(super) fn close(self) -> Vec<RpcWindow> {
        self.by_key
            .into_iter()
            .map(|(key, s)| RpcWindow {
                key,
                kind: s.kind,
                count: s.client.count(),
                failed: s.failed,
                client: s.client.percentiles(),
                server: s.server.percentiles(),
                request: s.request.percentiles(),
                response: s.response.percentiles(),
            })
            .collect()
    }
}
