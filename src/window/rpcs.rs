//! RPCs of one interval: counts and latency sketches, bounded in number.

use super::names::{Id, Names};
use super::pair::{Call, Halves};
use super::replicas::{Replicas, slow_ms};
use super::sketch::Sketch;
use super::skew::Skews;
use crate::data::{Percentiles, ReplicaWindow, RpcKey, RpcKind, RpcWindow};
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
    kind: Option<RpcKind>,
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
    fn new() -> Self {
        Self {
            kind: None,
            seen: 0,
            rest: 0.0,
            failed: 0,
            client: Sketch::default(),
            server: Sketch::default(),
            request: Sketch::default(),
            response: Sketch::default(),
        }
    }

    /// Begins the next RPC.
    fn clear(&mut self) {
        (self.kind, self.seen, self.rest, self.failed) = (None, 0, 0.0, 0);
        for sketch in [&mut self.client, &mut self.server, &mut self.request, &mut self.response] {
            sketch.clear();
        }
    }

    fn add(&mut self, call: &Call, skews: &Skews) {
        // Calls of one RPC may be seen differently; the fuller view names the kind.
        if self.kind.is_none() || call.kind == RpcKind::Paired {
            self.kind = Some(call.kind);
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

    fn window(&self, key: Key, names: &Names) -> RpcWindow {
        let name = |id| names.name(id).clone();
        let ([client, server], count) = (self.sides(), self.count());
        RpcWindow {
            key: RpcKey {
                caller: name(key.caller),
                caller_op: name(key.caller_op),
                callee: name(key.callee),
                op: name(key.op),
            },
            kind: self.kind.unwrap_or(RpcKind::Paired),
            count,
            failed: self.failed.min(count),
            seen_ratio: self.seen_ratio(),
            client,
            server,
            request: self.request.percentiles(),
            response: self.response.percentiles(),
        }
    }
}

/// Which RPCs an interval has, bounded in number.
#[derive(Debug, Default)]
struct Keys {
    /// Where each RPC stands in `keys`, which are in order of appearance.
    places: HashMap<Key, u32>,
    keys: Vec<Key>,
    /// Operations seen, each with its service, and how many each service has.
    operations: HashSet<(Id, Id)>,
    operations_of: HashMap<Id, usize>,
    /// Calls that went to the overflow RPC or operation.
    overflowed: u64,
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rpcs: usize,
    /// Of one service.
    pub(super) operations: usize,
}

impl Keys {
    /// The RPC that a call belongs to.
    fn place(&mut self, call: &Call, limits: Limits) -> u32 {
        // An RPC that is there has operations that are known.
        if let Some(place) = self.places.get(&call.key) {
            self.overflowed += u64::from(call.key.op == Id::OVERFLOW);
            return *place;
        }
        let key = self.bounded(call.key, limits);
        let keys = &mut self.keys;
        *self.places.entry(key).or_insert_with(|| {
            keys.push(key);
            // There are no more RPCs than calls, and these fit into memory.
            u32::try_from(keys.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn bounded(&mut self, mut key: Key, limits: Limits) -> Key {
        key.op = self.operation(key.callee, key.op, limits.operations);
        // The same operations as where the caller is the callee, so that the two join.
        key.caller_op = self.operation(key.caller, key.caller_op, limits.operations);
        if self.keys.len() >= limits.rpcs && !self.places.contains_key(&key) {
            key = OVERFLOW;
        }
        self.overflowed += u64::from(key.op == Id::OVERFLOW);
        key
    }

    fn operation(&mut self, service: Id, op: Id, max: usize) -> Id {
        if op.is_nothing() || self.operations.contains(&(service, op)) {
            return op;
        }
        let known = self.operations_of.entry(service).or_default();
        if *known >= max {
            return Id::OVERFLOW;
        }
        *known += 1;
        self.operations.insert((service, op));
        op
    }
}

/// Numbers of the calls, RPC by RPC and within each in order, and where each RPC ends there.
fn by_place(places: &[u32], rpcs: usize) -> (Vec<u32>, Vec<usize>) {
    let mut next = vec![0_usize; rpcs];
    places.iter().for_each(|place| next[*place as usize] += 1);
    let mut begin = 0;
    for count in &mut next {
        (begin, *count) = (begin + *count, begin);
    }
    let mut order = vec![0_u32; places.len()];
    for (call, place) in (0_u32..).zip(places) {
        let at = &mut next[*place as usize];
        order[*at] = call;
        *at += 1;
    }
    (order, next)
}

/// What came of the calls of an interval.
#[derive(Debug)]
pub(super) struct Closed {
    /// Sorted by key.
    pub(super) rpcs: Vec<RpcWindow>,
    /// Which replicas were slow.
    pub(super) replicas: Vec<ReplicaWindow>,
    /// Calls that went to the overflow RPC or operation.
    pub(super) overflowed: u64,
}

/// The RPCs of an interval. Sketches are those of one RPC at a time: those of thousands take more memory than
/// all calls do.
pub(super) fn close(calls: &[Call], skews: &Skews, limits: Limits, names: &Names) -> Closed {
    let mut keys = Keys::default();
    let places: Vec<u32> = calls.iter().map(|call| keys.place(call, limits)).collect();
    let (order, ends) = by_place(&places, keys.keys.len());
    let mut sketches = Sketches::new();
    let mut rpcs = Vec::with_capacity(keys.keys.len());
    let mut replicas = Replicas::default();
    let mut begin = 0;
    for (key, end) in keys.keys.iter().zip(ends) {
        sketches.clear();
        for call in &order[begin..end] {
            sketches.add(&calls[*call as usize], skews);
        }
        let window = sketches.window(*key, names);
        if key.op != Id::OVERFLOW {
            let slow_ms = slow_ms(&window.client);
            let calls = order[begin..end].iter().map(|call| &calls[*call as usize]);
            calls.for_each(|call| replicas.add(call, slow_ms));
        }
        begin = end;
        rpcs.push(window);
    }
    rpcs.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Closed { rpcs, replicas: replicas.close(names), overflowed: keys.overflowed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NS: u64 = 1_000_000;
    const LIMITS: Limits = Limits { rpcs: 10, operations: 10 };

    fn call(weight: f32, ms: u64, failed: bool) -> Call {
        let key =
            Key { caller: Id::USER, caller_op: Id::NOTHING, callee: Id::USER, op: Id::NOTHING };
        let (client_ns, server_ns) = (2 * ms * NS, ms * NS);
        let kind = RpcKind::ServerOnly;
        let halves = Halves::Both;
        let replica = Id::NOTHING;
        Call { key, replica, kind, halves, client_ns, server_ns, delays: None, failed, weight }
    }

    fn window(calls: &[Call]) -> RpcWindow {
        close(calls, &Skews::new(10), LIMITS, &Names::default()).rpcs.remove(0)
    }

    #[test]
    fn what_is_too_much_shares_a_bucket_and_calls_stay_with_their_rpc() {
        let mut names = Names::default();
        let ops: Vec<Id> = ["a", "b", "c"].map(|op| names.get(&op.into())).into();
        // Interleaved, so that the calls of an RPC do not stand side by side.
        let to = |n: usize| {
            let key = Key { op: ops[n % 3], ..call(1.0, 1, false).key };
            Call { key, ..call(1.0, n as u64 % 3 + 1, false) }
        };
        let calls: Vec<Call> = (0..30).map(to).collect();
        let limits = Limits { rpcs: 2, ..LIMITS };
        let got = close(&calls, &Skews::new(10), limits, &names);
        let seen: Vec<_> = got.rpcs.iter().map(|r| (&*r.key.op, r.count)).collect();
        assert_eq!(seen, [(crate::data::OVERFLOW, 10), ("a", 10), ("b", 10)]);
        for (rpc, ms) in got.rpcs.iter().zip([3.0, 1.0, 2.0]) {
            assert!((rpc.server.0[4] - ms).abs() < 0.02 * ms, "{rpc:?}");
        }
        assert_eq!(got.overflowed, 10);
        let limits = Limits { operations: 1, ..LIMITS };
        let got = close(&calls, &Skews::new(10), limits, &names);
        assert_eq!((got.rpcs.len(), got.overflowed), (2, 20));
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
