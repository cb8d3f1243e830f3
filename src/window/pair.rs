//! Pairs the halves of the RPCs of one trace and finds out on whose behalf each was made.
//!
//! In: the spans of one trace, in any order. Out: [`Pairing`], the RPCs that ended before a moment.
//! Absent on purpose: clocks and limits. Lateness is decided by the caller.

use super::skew::{HostPair, RawDelays};
use super::traces::{Trace, Waiting};
use crate::data::{Half, Name, PeerKind, RpcKey, RpcKind, Span, USER};
use crate::hash::{HashMap, HashSet};

/// One RPC of one request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: RpcKey,
    pub(super) kind: RpcKind,
    pub(super) client_ns: u64,
    pub(super) server_ns: u64,
    /// Of paired calls only.
    pub(super) delays: Option<(HostPair, RawDelays)>,
    pub(super) failed: bool,
}

/// What came of a trace.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    pub(super) calls: Vec<Call>,
    /// Client halves that found neither a server half nor a named peer.
    pub(super) client_unmatched: u64,
    /// Server halves whose parent never came; they count as requests from outside.
    pub(super) server_unmatched: u64,
}

/// What is known from earlier traces.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Services that send server halves: never virtual nodes.
    pub(super) instrumented: HashSet<Name>,
    /// Requests to each (service, operation) with a caller's half and without, the older the less.
    requests: HashMap<(Name, Name), (u32, u32)>,
    /// Caller operation by (caller, callee, operation), for calls whose own enclosing server span
    /// has not arrived yet (a request still running when the interval closed).
    pub(super) callers: HashMap<(Name, Name, Name), Name>,
}

/// Spans between a call and the server span it belongs to, at most.
const DEPTH_MAX: usize = 64;
/// Requests to an operation after which older ones count half.
const REQUESTS_MAX: u32 = 1000;
/// An operation is called from inside when at most one request in so many lacks its caller's half.
const STRAYS: u32 = 10;
/// Entries of [`Memory`] before it starts over.
const MEMORY_MAX: usize = 100_000;

impl Memory {
    fn remember(&mut self, key: &RpcKey) {
        if self.callers.len() >= MEMORY_MAX {
            self.callers.clear();
        }
        let at = (key.caller.clone(), key.callee.clone(), key.op.clone());
        self.callers.insert(at, key.caller_op.clone());
    }

    /// Counts a request that `server` served.
    fn count(&mut self, server: &Span, has_caller: bool) {
        let at = (server.service.clone(), server.op.clone());
        if self.requests.len() >= MEMORY_MAX && !self.requests.contains_key(&at) {
            self.requests.clear();
        }
        let (with, without) = self.requests.entry(at).or_default();
        *(if has_caller { &mut *with } else { &mut *without }) += 1;
        if *with + *without >= REQUESTS_MAX {
            (*with, *without) = (*with / 2, *without / 2);
        }
    }

    /// Whether a request of this kind nearly always has a caller that sends spans.
    fn has_callers(&self, server: &Span) -> bool {
        let at = (server.service.clone(), server.op.clone());
        self.requests.get(&at).is_some_and(|(with, without)| *with > STRAYS * *without)
    }

    fn recall(&self, caller: &Name, callee: &Name, op: &Name) -> Name {
        let at = (caller.clone(), callee.clone(), op.clone());
        self.callers.get(&at).cloned().unwrap_or_default()
    }

    /// Notes that `service` sends spans of its own.
    pub(super) fn instrument(&mut self, service: &Name) {
        if !self.instrumented.contains(service) && self.instrumented.len() < MEMORY_MAX {
            self.instrumented.insert(service.clone());
        }
    }
}

/// Places every span of `trace` that ended before `before_ms` and is not placed yet. An RPC belongs
/// to the moment its caller's half ended. A callee's half that comes after that interval has closed
/// counts by itself when it ends.
pub(super) fn pair(trace: &mut Trace, before_ms: i64, memory: &mut Memory) -> Pairing {
    let mut out = Pairing::default();
    let (mut placed, mut missed) = (Vec::new(), Vec::new());
    {
        let view = View::of(trace);
        for (i, waiting) in trace.spans.iter().enumerate() {
            if waiting.placed || waiting.end_ms() >= before_ms {
                continue;
            }
            let span = &waiting.span;
            match span.half {
                Half::Client | Half::Producer => {
                    view.place_client(i, span, memory, &mut out, &mut placed);
                }
                Half::Server | Half::Consumer => {
                    if !view.place_lone_server(i, waiting, memory, &mut out, &mut placed) {
                        missed.push(i);
                    }
                }
                Half::Internal => view.place_internal_root(i, span, &mut out, &mut placed),
            }
        }
    }
    for i in placed {
        trace.spans[i].placed = true;
    }
    for i in missed {
        trace.spans[i].missed = true;
    }
    out
}

/// The spans of a trace by their relations.
struct View<'a> {
    trace: &'a Trace,
    callers: HashMap<u64, usize>,
    others: HashMap<u64, usize>,
    /// Server halves by the span that called them.
    callees: HashMap<u64, Vec<usize>>,
    /// Server halves by service, for callers whose chain of parents is broken.
    serving: HashMap<&'a Name, Vec<usize>>,
    /// Services that call somebody in this trace.
    calling: HashSet<&'a Name>,
}

impl<'a> View<'a> {
    fn of(trace: &'a Trace) -> Self {
        let mut view = Self {
            trace,
            callers: HashMap::default(),
            others: HashMap::default(),
            callees: HashMap::default(),
            serving: HashMap::default(),
            calling: HashSet::default(),
        };
        for (i, w) in trace.spans.iter().enumerate() {
            match w.span.half {
                Half::Client | Half::Producer => {
                    view.calling.insert(&w.span.service);
                    view.callers.insert(w.span.id, i)
                }
                _ => view.others.insert(w.span.id, i),
            };
        }
        for (i, w) in trace.spans.iter().enumerate() {
            if matches!(w.span.half, Half::Server | Half::Consumer) {
                // Zipkin-style halves share the id; otherwise the parent is the client half.
                let shared = view.callers.contains_key(&w.span.id);
                let by = if shared { w.span.id } else { w.span.parent };
                view.callees.entry(by).or_default().push(i);
                view.serving.entry(&w.span.service).or_default().push(i);
            }
        }
        view
    }

    fn span(&self, i: usize) -> &'a Span {
        &self.trace.spans[i].span
    }

    fn client_of(&self, server: &Span) -> Option<usize> {
        self.callers.get(&server.id).or_else(|| self.callers.get(&server.parent)).copied()
    }

    fn place_client(
        &self,
        i: usize,
        client: &Span,
        memory: &mut Memory,
        out: &mut Pairing,
        placed: &mut Vec<usize>,
    ) {
        placed.push(i);
        let servers = self.callees.get(&client.id).map_or(&[][..], Vec::as_slice);
        for s in servers {
            // Its caller came too late: it counts as a request from outside already.
            if self.trace.spans[*s].placed {
                continue;
            }
            placed.push(*s);
            let server = self.span(*s);
            let key = self.key(client, &server.service, &server.op, memory);
            memory.count(server, true);
            out.calls.push(paired(key, client, server));
        }
        if !servers.is_empty() {
            return;
        }
        // A peer that sends spans of its own is no virtual node: its half was lost.
        let peer = client
            .peer
            .as_ref()
            .filter(|p| p.kind == PeerKind::Database || !memory.instrumented.contains(&p.name));
        let Some(peer) = peer else {
            out.client_unmatched += 1;
            return;
        };
        let key = self.key(client, &peer.name, &client.op, memory);
        let kind =
            if client.half == Half::Producer { RpcKind::Messaging } else { RpcKind::ClientOnly };
        out.calls.push(lone(key, kind, client));
    }

    /// Places a server half whose client half is not to be waited for; false when it must wait for one
    /// that is late.
    fn place_lone_server(
        &self,
        i: usize,
        waiting: &Waiting,
        memory: &mut Memory,
        out: &mut Pairing,
        placed: &mut Vec<usize>,
    ) -> bool {
        let server = &waiting.span;
        if let Some(c) = self.client_of(server) {
            // The client half places both, when it has ended.
            if self.trace.spans[c].placed {
                // It ended, and was placed, before this half came: a callee that went on after its
                // caller gave up, or a message that waited. Its own latency still counts.
                placed.push(i);
                let client = self.span(c);
                let key = self.key(client, &server.service, &server.op, memory);
                let is_message = client.half == Half::Producer || server.half == Half::Consumer;
                let kind = if is_message { RpcKind::Messaging } else { RpcKind::ServerOnly };
                out.calls.push(lone(key, kind, server));
            }
            return true;
        }
        let is_orphan = server.parent != 0 && !self.others.contains_key(&server.parent);
        if is_orphan && !waiting.missed {
            out.server_unmatched += 1;
            memory.count(server, false);
        }
        if is_orphan && memory.has_callers(server) {
            // Its caller is late or lost. Taken for a request from outside it would turn a service in
            // the middle of the application into an entry; it waits, and is paired if the caller comes.
            return false;
        }
        placed.push(i);
        let from = |caller: &Name, caller_op: &Name| RpcKey {
            caller: caller.clone(),
            caller_op: caller_op.clone(),
            callee: server.service.clone(),
            op: server.op.clone(),
        };
        let (user, nothing): (Name, Name) = (USER.into(), Name::default());
        let key = match self.others.get(&server.parent).map(|p| self.span(*p)) {
            // A server span below a span of its own service is a detail of the same request.
            Some(parent) if parent.service == server.service => return true,
            // A caller that sends server spans but no client spans.
            Some(parent) => from(&parent.service, &self.enclosing_op(parent).unwrap_or_default()),
            None => from(&user, &nothing),
        };
        let kind =
            if server.half == Half::Consumer { RpcKind::Messaging } else { RpcKind::ServerOnly };
        out.calls.push(lone(key, kind, server));
        true
    }

    /// A request that begins inside a service (a timer, a queue worker) enters there.
    fn place_internal_root(
        &self,
        i: usize,
        span: &Span,
        out: &mut Pairing,
        placed: &mut Vec<usize>,
    ) {
        if span.parent == 0 && self.calling.contains(&span.service) {
            placed.push(i);
            let key = RpcKey {
                caller: USER.into(),
                caller_op: Name::default(),
                callee: span.service.clone(),
                op: span.op.clone(),
            };
            out.calls.push(lone(key, RpcKind::ServerOnly, span));
        }
    }

    fn key(&self, client: &Span, callee: &Name, op: &Name, memory: &mut Memory) -> RpcKey {
        let found = self.enclosing_op(client);
        let known = found.is_some();
        let caller_op = found.unwrap_or_else(|| memory.recall(&client.service, callee, op));
        let key = RpcKey {
            caller: client.service.clone(),
            caller_op,
            callee: callee.clone(),
            op: op.clone(),
        };
        if known {
            memory.remember(&key);
        }
        key
    }

    /// The operation `span`'s service was serving: up through the parents, and when that chain is
    /// broken, the innermost server span of the service that encloses it in time.
    fn enclosing_op(&self, span: &Span) -> Option<Name> {
        let mut at = span;
        // Bounded: a forged trace may hold a cycle of parents.
        for _ in 0..DEPTH_MAX {
            if matches!(at.half, Half::Server | Half::Consumer) && at.service == span.service {
                return Some(at.op.clone());
            }
            match self.others.get(&at.parent).map(|p| self.span(*p)) {
                Some(parent) if parent.service == span.service => at = parent,
                _ if at.half == Half::Internal && at.parent == 0 => return Some(at.op.clone()),
                _ => break,
            }
        }
        let serving = self.serving.get(&span.service).map_or(&[][..], Vec::as_slice);
        serving
            .iter()
            .map(|i| self.span(*i))
            .filter(|s| s.start_ns <= span.start_ns && s.end_ns >= span.end_ns)
            .max_by_key(|s| s.start_ns)
            .map(|s| s.op.clone())
    }
}

fn paired(key: RpcKey, client: &Span, server: &Span) -> Call {
    let is_message = client.half == Half::Producer || server.half == Half::Consumer;
    let between = |from: u64, to: u64| (to as i64).saturating_sub(from as i64);
    let host = |s: &Span| {
        let names = [&s.node, &s.replica, &s.service];
        names.into_iter().find(|n| !n.is_empty()).unwrap_or(&s.service).clone()
    };
    let raw = RawDelays {
        request_ns: between(client.start_ns, server.start_ns),
        response_ns: between(server.end_ns, client.end_ns),
    };
    Call {
        key,
        kind: if is_message { RpcKind::Messaging } else { RpcKind::Paired },
        client_ns: client.duration_ns(),
        server_ns: server.duration_ns(),
        delays: (!is_message).then(|| ((host(client), host(server)), raw)),
        failed: client.failed || server.failed,
    }
}

fn lone(key: RpcKey, kind: RpcKind, span: &Span) -> Call {
    let ns = span.duration_ns();
    Call { key, kind, client_ns: ns, server_ns: ns, delays: None, failed: span.failed }
}
