//! Pairs the halves of the RPCs of one trace and finds out on whose behalf each was made.
//!
//! In: the spans of one trace, in any order. Out: [`Pairing`], the RPCs that ended before a moment.
//! Absent on purpose: clocks and limits. Lateness is decided by the caller.

use super::memory::Memory;
use super::names::Id;
use super::relations::Relations;
use super::rpcs::Key;
use super::sampling::Sampling;
use super::skew::{HostPair, RawDelays};
use super::traces::{Trace, Waiting};
use crate::data::{Half, RpcKind};

/// Which latencies of its RPC a call adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halves {
    Both,
    /// The callee's half was lost; what the other calls say about it stands.
    Client,
    /// The caller's half has been counted before.
    Server,
}

/// One RPC of one request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: Key,
    /// Who served it; nothing when that is not known.
    pub(super) replica: Id,
    pub(super) kind: RpcKind,
    pub(super) halves: Halves,
    pub(super) client_ns: u64,
    pub(super) server_ns: u64,
    /// Where both halves are known.
    pub(super) delays: Option<(HostPair, RawDelays)>,
    pub(super) failed: bool,
    /// Calls that this one stands for.
    pub(super) weight: f32,
}

/// What came of traces.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    pub(super) calls: Vec<Call>,
    /// Client halves without the server half that they should have had.
    pub(super) client_unmatched: u64,
    /// Server halves whose parent never came; they count as requests from outside.
    pub(super) server_unmatched: u64,
    /// Used for every trace: no memory is asked for again and again.
    relations: Relations,
    sampling: Sampling,
    placed: Vec<usize>,
    missed: Vec<usize>,
    /// Orphans of the trace whose caller was looked for.
    orphans: usize,
}

/// Orphans of one trace for whom a caller is looked for, at most: each takes a look at all spans.
const ORPHANS_MAX: usize = 64;
/// Spans between a call and the server span it belongs to, at most.
const DEPTH_MAX: usize = 64;

impl Pairing {
    /// Places every span of `trace` that ended before `before_ms` and is not placed yet. An RPC belongs
    /// to the moment its caller's half ended. A callee's half that comes after that interval has closed
    /// counts by itself when it ends.
    pub(super) fn add(&mut self, trace: &mut Trace, before_ms: i64, memory: &mut Memory) {
        self.relations.of(trace);
        self.sampling = Sampling::of(trace);
        self.placed.clear();
        self.missed.clear();
        self.orphans = 0;
        let mut pairer = Pairer { trace, memory, out: self };
        for (i, span) in trace.spans.iter().enumerate() {
            if span.placed || span.end_ms() >= before_ms {
                continue;
            }
            match span.half {
                Half::Client | Half::Producer => pairer.place_client(i, span),
                Half::Server | Half::Consumer => {
                    if !pairer.place_lone_server(i, span) {
                        pairer.out.missed.push(i);
                    }
                }
                Half::Internal => pairer.place_internal_root(i, span),
            }
        }
        for i in &self.placed {
            trace.spans[*i].placed = true;
        }
        for i in &self.missed {
            trace.spans[*i].missed = true;
        }
    }
}

/// At work on one trace.
struct Pairer<'a> {
    trace: &'a Trace,
    memory: &'a mut Memory,
    out: &'a mut Pairing,
}

impl Pairer<'_> {
    fn place_client(&mut self, i: usize, client: &Waiting) {
        let trace = self.trace;
        self.out.placed.push(i);
        if client.half == Half::Producer {
            self.place_publication(client);
        }
        let mut is_alone = true;
        let Pairing { calls, placed, relations, sampling, .. } = &mut *self.out;
        for s in relations.callees(client.id) {
            is_alone = false;
            let server = &trace.spans[s];
            // Its caller came too late: it counts as a request from outside already.
            if server.placed {
                continue;
            }
            placed.push(s);
            let key = key(trace, relations, client, (server.service, server.op), self.memory);
            self.memory.count(server, true);
            // Seen together only when both were kept: whoever kept less decides.
            let weight = |half| sampling.weight(trace, relations, half);
            let (asked, served) = (weight(client), weight(server));
            // Where the callee keeps fewer traces, nothing is amiss with a half that is alone.
            if served <= asked {
                self.memory.answerers.learn(client, &key);
            }
            calls.push(Call { weight: asked.max(served), ..paired(key, client, server) });
        }
        if is_alone {
            self.place_lone_client(i, client);
        }
    }

    /// Nobody waits for whoever takes a message, but the sender does until the broker has it.
    fn place_publication(&mut self, client: &Waiting) {
        if !client.peer.is_nothing() && !self.memory.is_instrumented(client.peer) {
            self.place_at_peer(client);
        }
    }

    /// A call to what sends no spans.
    fn place_at_peer(&mut self, client: &Waiting) {
        let (trace, relations) = (self.trace, &self.out.relations);
        let key = key(trace, relations, client, (client.peer, client.op), self.memory);
        self.push_lone(lone(key, RpcKind::ClientOnly, client), client);
    }

    fn place_lone_client(&mut self, i: usize, client: &Waiting) {
        let serving = enclosing_op(self.trace, &self.out.relations, client);
        if let Some(key) = self.memory.answerers.of(client, serving) {
            self.out.client_unmatched += 1;
            // Whoever gave up knows of its callee that it took this long at least. Otherwise a span was
            // lost, and the callee was as fast as ever.
            let (halves, kind) = match (client.half, client.failed) {
                (Half::Producer, _) => (Halves::Client, RpcKind::Messaging),
                (_, true) => (Halves::Both, RpcKind::Paired),
                (_, false) => (Halves::Client, RpcKind::Paired),
            };
            self.push_lone(Call { halves, ..lone(key, kind, client) }, client);
            return;
        }
        // A peer that sends spans of its own is no virtual node: its half was lost.
        let is_dark = client.is_database || !self.memory.is_instrumented(client.peer);
        if client.peer.is_nothing() || !is_dark {
            self.out.client_unmatched += 1;
            self.out.missed.push(i);
            return;
        }
        if client.half == Half::Client {
            self.place_at_peer(client);
        }
    }

    /// Places a server half whose client half is not to be waited for; false when it must wait for one
    /// that is late.
    fn place_lone_server(&mut self, i: usize, server: &Waiting) -> bool {
        let (trace, relations) = (self.trace, &self.out.relations);
        if let Some(c) = relations.client_of(server) {
            // The client half places both, when it has ended.
            let client = &trace.spans[c];
            if client.placed {
                // It ended, and was placed, before this half came: a callee that went on after its
                // caller gave up, or a message that waited. Its own latency still counts.
                let key = key(trace, relations, client, (server.service, server.op), self.memory);
                let halves = if client.missed { Halves::Both } else { Halves::Server };
                self.out.placed.push(i);
                self.push_lone(Call { halves, ..paired(key, client, server) }, server);
            }
            return true;
        }
        let parent = relations.other(server.parent).map(|p| &trace.spans[p]);
        let mut is_orphan = server.parent != 0 && parent.is_none();
        let mut outside = (Id::USER, Id::NOTHING);
        if is_orphan && self.out.orphans < ORPHANS_MAX {
            self.out.orphans += 1;
            if let Some(silent) = silent_caller(trace, &self.out.relations, self.memory, server) {
                (is_orphan, outside) = (false, silent);
                self.memory.count(server, true);
            }
        }
        if is_orphan && !server.missed {
            self.out.server_unmatched += 1;
            self.memory.count(server, false);
        }
        if is_orphan && self.memory.has_callers(server) {
            // Its caller is late or lost. Taken for a request from outside it would turn a service in
            // the middle of the application into an entry; it waits, and is paired if the caller comes.
            return false;
        }
        let (caller, caller_op) = match parent {
            // A server span below a span of its own service is a detail of the same request.
            Some(parent) if parent.service == server.service => {
                self.out.placed.push(i);
                return true;
            }
            // A caller that sends server spans but no client spans.
            Some(parent) => {
                (parent.service, enclosing_op(trace, relations, parent).unwrap_or_default())
            }
            None => outside,
        };
        let key = Key { caller, caller_op, callee: server.service, op: server.op };
        let kind =
            if server.half == Half::Consumer { RpcKind::Messaging } else { RpcKind::ServerOnly };
        self.out.placed.push(i);
        self.push_lone(lone(key, kind, server), server);
        true
    }

    /// A request that begins inside a service (a timer, a queue worker) enters there.
    fn place_internal_root(&mut self, i: usize, span: &Waiting) {
        let calls = |s: &Waiting| {
            matches!(s.half, Half::Client | Half::Producer) && s.service == span.service
        };
        if span.parent == 0 && self.trace.spans.iter().any(calls) {
            self.out.placed.push(i);
            let (caller, caller_op) = (Id::USER, Id::NOTHING);
            let key = Key { caller, caller_op, callee: span.service, op: span.op };
            self.push_lone(lone(key, RpcKind::ServerOnly, span), span);
        }
    }

    fn push_lone(&mut self, mut call: Call, span: &Waiting) {
        call.weight = self.out.sampling.weight(self.trace, &self.out.relations, span);
        self.out.calls.push(call);
    }
}

/// The key of a call of `client`'s to an operation of a service.
fn key(
    trace: &Trace,
    relations: &Relations,
    client: &Waiting,
    (callee, op): (Id, Id),
    memory: &mut Memory,
) -> Key {
    let caller = client.service;
    match enclosing_op(trace, relations, client) {
        Some(caller_op) => {
            let key = Key { caller, caller_op, callee, op };
            memory.remember(&key);
            key
        }
        None => Key { caller, caller_op: memory.recall(caller, callee, op), callee, op },
    }
}

/// The operation `span`'s service was serving: up through the parents, and when that chain is
/// broken, the innermost server span of the service that encloses it in time.
fn enclosing_op(trace: &Trace, relations: &Relations, span: &Waiting) -> Option<Id> {
    let mut at = span;
    // Bounded: a forged trace may hold a cycle of parents.
    for _ in 0..DEPTH_MAX {
        if matches!(at.half, Half::Server | Half::Consumer) && at.service == span.service {
            return Some(at.op);
        }
        match relations.other(at.parent).map(|p| &trace.spans[p]) {
            Some(parent) if parent.service == span.service => at = parent,
            _ if at.half == Half::Internal && at.parent == 0 => return Some(at.op),
            _ => break,
        }
    }
    let serving = relations.servers().map(|i| &trace.spans[i]);
    serving
        .filter(|s| s.service == span.service)
        .filter(|s| s.start_ns <= span.start_ns && s.end_ns >= span.end_ns)
        .max_by_key(|s| s.start_ns)
        .map(|s| s.op)
}

/// Who has called `server` and sends no spans, but passes the trace on: whom the innermost call without an answer went to
/// that was on its way all the time. And what was asked of it.
fn silent_caller(
    trace: &Trace,
    relations: &Relations,
    memory: &Memory,
    server: &Waiting,
) -> Option<(Id, Id)> {
    let is_on_its_way = |c: &Waiting| c.start_ns <= server.start_ns && c.end_ns >= server.end_ns;
    let went_to_silence = |c: &Waiting| {
        c.half == Half::Client
            && !c.peer.is_nothing()
            && c.peer != server.service
            && !memory.is_instrumented(c.peer)
            && relations.callees(c.id).next().is_none()
    };
    let calls = trace.spans.iter().filter(|c| is_on_its_way(c) && went_to_silence(c));
    calls.max_by_key(|c| c.start_ns).map(|c| (c.peer, c.op))
}

fn paired(key: Key, client: &Waiting, server: &Waiting) -> Call {
    let is_message = client.half == Half::Producer || server.half == Half::Consumer;
    let between = |from: u64, to: u64| (to as i64).saturating_sub(from as i64);
    let raw = RawDelays {
        request_ns: between(client.start_ns, server.start_ns),
        response_ns: between(server.end_ns, client.end_ns),
    };
    Call {
        key,
        replica: server.replica,
        kind: if is_message { RpcKind::Messaging } else { RpcKind::Paired },
        client_ns: client.duration_ns(),
        server_ns: server.duration_ns(),
        delays: (!is_message).then_some(((client.host, server.host), raw)),
        failed: client.failed || server.failed,
        halves: Halves::Both,
        weight: 1.0,
    }
}

fn lone(key: Key, kind: RpcKind, span: &Waiting) -> Call {
    let (ns, failed) = (span.duration_ns(), span.failed);
    let halves = Halves::Both;
    let served = !matches!(span.half, Half::Client | Half::Producer);
    let replica = if served { span.replica } else { Id::NOTHING };
    Call {
        key,
        replica,
        kind,
        halves,
        client_ns: ns,
        server_ns: ns,
        delays: None,
        failed,
        weight: 1.0,
    }
}
