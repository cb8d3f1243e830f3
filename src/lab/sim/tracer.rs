//! Spans, as the tracing libraries inside the services would send them.
//!
//! Requests that are not traced, and services that are not instrumented, leave at once: they must
//! cost nothing. Absent on purpose: failures, since users give up before the application does.

use super::engine::Engine;
use super::frame::{Cause, Frame};
use super::random::For;
use crate::data::{Half, Name, Peer, PeerKind, Span};

/// What tells one span from another on the same replica.
struct Part {
    id: u64,
    parent: u64,
    half: Half,
    from_ns: u64,
    to_ns: u64,
    op: Name,
    peer: Option<Peer>,
}

impl Engine<'_> {
    /// The callee's half, when the operation is over.
    pub(super) fn trace_callee(&mut self, slot: u32) {
        let frame = self.state.frames[slot];
        let op = &self.program.ops[frame.op as usize];
        let service = &self.program.services[op.service];
        if !frame.is_traced || !service.instrumented {
            return;
        }
        let (half, parent) = match frame.cause {
            Cause::Call { .. } => (Half::Server, frame.key.id(For::ClientSpan)),
            Cause::Message => (Half::Consumer, frame.key.id(For::ClientSpan)),
            Cause::User { .. } | Cause::Nothing => (Half::Server, 0),
        };
        let part = Part {
            id: frame.key.id(For::ServerSpan),
            parent,
            half,
            from_ns: if service.queue_in_span { frame.arrived_ns } else { frame.started_ns },
            to_ns: self.state.now_ns,
            op: op.name.clone(),
            peer: None,
        };
        self.trace(&frame, part);
    }

    /// The caller's half, when the response is there.
    pub(super) fn trace_caller(&mut self, slot: u32, caller: u32) {
        self.trace_sender(slot, caller, Half::Client, self.state.now_ns);
    }

    /// The publisher's half, when the broker has the message.
    pub(super) fn trace_publisher(&mut self, slot: u32, publisher: u32, acknowledged_ns: u64) {
        self.trace_sender(slot, publisher, Half::Producer, acknowledged_ns);
    }

    fn trace_sender(&mut self, slot: u32, sender: u32, half: Half, to_ns: u64) {
        let frame = self.state.frames[slot];
        let sender = self.state.frames[sender];
        let service = self.program.ops[sender.op as usize].service;
        if !frame.is_traced || !self.program.services[service].instrumented {
            return;
        }
        let op = &self.program.ops[frame.op as usize];
        let callee = &self.program.services[op.service];
        let peer = || Peer { name: callee.name.clone(), kind: PeerKind::Database };
        let part = Part {
            id: frame.key.id(For::ClientSpan),
            parent: sender.key.id(For::ServerSpan),
            half,
            from_ns: frame.sent_ns,
            to_ns,
            op: op.name.clone(),
            peer: (!callee.instrumented).then(peer),
        };
        self.trace(&sender, part);
    }

    /// Sends a span from the replica `frame` runs on.
    fn trace(&mut self, frame: &Frame, part: Part) {
        let place = &self.program.replicas[frame.replica as usize];
        let node = &self.program.nodes[place.node];
        let request = self.keys.requests.child(frame.request);
        let epoch_ns = self.epoch_ms.max(0).unsigned_abs().saturating_mul(1_000_000);
        let on_clock = |ns: u64| epoch_ns.saturating_add(ns).saturating_add_signed(node.skew_ns);
        self.out.spans.push(Span {
            trace: u128::from(request.id(For::TraceHigh)) << 64
                | u128::from(request.id(For::TraceLow)),
            id: part.id,
            parent: part.parent,
            half: part.half,
            start_ns: on_clock(part.from_ns),
            end_ns: on_clock(part.to_ns),
            service: self.program.services[place.service].name.clone(),
            replica: place.pod.clone(),
            node: node.name.clone(),
            op: part.op,
            peer: part.peer,
            failed: false,
            weight: None,
        });
    }
}
