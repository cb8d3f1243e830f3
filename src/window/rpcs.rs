//! RPCs of one open interval: counts and latency sketches, bounded in number.

use super::names::{Id, Names};
use super::pair::{Call, Halves};
use super::sketch::Sketch;
use super::skew::Skews;
use crate::data::{Percentiles, RpcKey, RpcKind, RpcWindow};
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
    /// Calls that were seen.
    seen: u64,
    /// What they stand for beyond what was counted: counts are whole numbers, weights are not.
    rest: f64,
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
            seen: 0,
            rest: 0.0,
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
        let calls = self.weigh(call.weight);
        if call.halves != Halves::Server {
            self.seen += 1;
            self.failed += u64::from(call.failed) * u64::from(calls);
            self.client.insert_many(call.client_ns, calls);
        }
        if call.halves != Halves::Client {
            self.server.insert_many(call.server_ns, calls);
        }
        let Some((hosts, raw)) = call.delays else { return };
        match skews.offset_ns(hosts) {
            // Its response reached nobody. Against a clock of which nothing is known the request says nothing.
            Some(offset_ns) if raw.is_given_up() => {
                let request = raw.taken_up_after(offset_ns).min(call.client_ns);
                self.request.insert_many(request, calls);
            }
            offset_ns => {
                let (request, response) = raw.split(offset_ns.unwrap_or(0));
                self.request.insert_many(request, calls);
                self.response.insert_many(response, calls);
            }
        }
    }

    /// As how many calls one of this weight counts: what is rounded away now counts with the next.
    fn weigh(&mut self, weight: f32) -> u32 {
        let due = f64::from(weight) + self.rest;
        let calls = due.round() as u32;
        let rest = due - f64::from(calls);
        // A weight that is too large for a count is not made up for later.
        self.rest = if rest <= 0.5 { rest } else { 0.0 };
        calls
    }

    /// Share of the calls that was seen.
    fn seen_ratio(&self) -> f32 {
        match self.client.count() {
            0 => 1.0,
            calls => (self.seen as f64 / calls as f64).min(1.0) as f32,
        }
    }

    /// Calls; where every one was counted before, as many as came late.
    fn count(&self) -> u64 {
        match self.client.count() {
            0 => self.server.count(),
            calls => calls,
        }
    }

    /// Both sides, one in the place of the other where only that was seen.
    fn sides(&self) -> [Percentiles; 2] {
        let [client, server] = [&self.client, &self.server];
        let or = |one: &Sketch, other: &Sketch| match one.count() {
            0 => other.percentiles(),
            _ => one.percentiles(),
        };
        [or(client, server), or(server, client)]
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
        let window = |(key, s): (Key, Sketches)| {
            let [client, server] = s.sides();
            let count = s.count();
            RpcWindow {
                key: RpcKey {
                    caller: name(key.caller),
                    caller_op: name(key.caller_op),
                    callee: name(key.callee),
                    op: name(key.op),
                },
                kind: s.kind,
                count,
                failed: s.failed.min(count),
                seen_ratio: s.seen_ratio(),
                client,
                server,
                request: s.request.percentiles(),
                response: s.response.percentiles(),
            }
        };
        let mut windows: Vec<RpcWindow> = self.by_key.into_iter().map(window).collect();
        windows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NS: u64 = 1_000_000;

    fn call(weight: f32, ms: u64, failed: bool) -> Call {
        let key =
            Key { caller: Id::USER, caller_op: Id::NOTHING, callee: Id::USER, op: Id::NOTHING };
        let (client_ns, server_ns) = (2 * ms * NS, ms * NS);
        let kind = RpcKind::ServerOnly;
        let halves = Halves::Both;
        Call { key, kind, halves, client_ns, server_ns, delays: None, failed, weight }
    }

    fn window(calls: &[Call]) -> RpcWindow {
        let mut rpcs = Rpcs::default();
        calls.iter().for_each(|call| rpcs.add(call, &Skews::default(), 10, 10));
        rpcs.close(&Names::default()).remove(0)
    }

    proptest! {
        /// Against the requests that were not traced, as if they had been like the one that was.
        #[test]
        fn property_a_call_of_weight_n_counts_like_n_calls(
            calls in prop::collection::vec((0u32..8, 1u64..10_000, any::<bool>()), 1..100),
        ) {
            let sampled: Vec<Call> =
                calls.iter().map(|(e, ms, failed)| call(2_f32.powi(*e as i32), *ms, *failed)).collect();
            let all: Vec<Call> = calls
                .iter()
                .flat_map(|(e, ms, failed)| (0..1 << e).map(move |_| call(1.0, *ms, *failed)))
                .collect();
            let (got, naive) = (window(&sampled), window(&all));
            prop_assert_eq!(got.seen_ratio, sampled.len() as f32 / all.len() as f32);
            prop_assert_eq!(naive.seen_ratio, 1.0);
            prop_assert_eq!(RpcWindow { seen_ratio: 1.0, ..got }, naive);
        }

        #[test]
        fn property_whatever_the_weights_their_sum_is_counted(
            calls in prop::collection::vec((1.0f32..300.0, any::<bool>()), 1..200),
        ) {
            let all: Vec<Call> = calls.iter().map(|(w, failed)| call(*w, 5, *failed)).collect();
            let sum: f64 = calls.iter().map(|(w, _)| f64::from(*w)).sum();
            let got = window(&all);
            prop_assert!((got.count as f64 - sum).abs() <= 0.5 + 1e-6 * sum, "{} of {sum}", got.count);
            let seen = f64::from(got.seen_ratio) * got.count as f64;
            prop_assert!((seen - calls.len() as f64).abs() < 0.01 * seen);
        }
    }

    #[test]
    fn weights_beyond_all_measure_fill_a_bucket_and_no_more() {
        let [most, one] = [call(2_f32.powi(56), 5, true), call(1.0, 7, true)];
        let got = window(&[most, call(2_f32.powi(56), 5, true), one]);
        assert_eq!((got.count, got.failed), (u64::from(u32::MAX) + 1, got.count));
        assert!((got.server.0[0] - 5.0).abs() < 0.05, "{:?}", got.server);
    }
}
