//! What requests send to other services and get back, and what the network does to it.

use super::condition::RETRANSMIT_NS;
use super::counter::Counter;
use super::engine::{Engine, FRAMES_MAX};
use super::event::Happens;
use super::flow::{REQUEST_BYTES, RESPONSE_BYTES};
use super::frame::Cause;
use super::random::{For, Key};
use super::replica::Replica;

/// Times the same packet may be lost before the sender gives up guessing.
const LOSSES_MAX: usize = 4;

impl Engine<'_> {
    /// Makes the calls `from..to` at once. Returns whether any was made.
    pub(super) fn call_all(&mut self, caller: u32, from: u32, to: u32) -> bool {
        for call in from..to {
            let spec = self.program.calls[call as usize];
            let mut branch = self.state.frames[caller].key.stream(For::Branch(call));
            if spec.times > 0 && branch.happens(spec.probability) {
                self.state.frames[caller].pending += 1;
                self.call(caller, call, 0);
            }
        }
        self.state.frames[caller].pending > 0
    }

    fn call(&mut self, caller: u32, call: u32, nth: u32) {
        let cause = Cause::Call { parent: caller, call, nth };
        let slot = self.spawn(caller, call, nth, cause);
        let replica = self.state.frames[caller].replica as usize;
        if self.state.replicas[replica].connections.acquire(slot) {
            self.send(slot);
        }
    }

    /// A frame for what `caller` causes elsewhere.
    fn spawn(&mut self, caller: u32, call: u32, nth: u32, cause: Cause) -> u32 {
        let frame = &self.state.frames[caller];
        let key = frame.key.child(u64::from(call) << 32 | u64::from(nth));
        let service = self.program.ops[frame.op as usize].service;
        let forwards =
            self.program.services[service].instrumented || self.config.silent_services_forward;
        let is_traced = frame.is_traced && forwards;
        let op = self.program.calls[call as usize].op;
        let frame = self.frame(key, op, cause, frame.request, is_traced);
        self.state.frames.insert(frame)
    }

    /// A request that has a connection leaves its caller.
    pub(super) fn send(&mut self, slot: u32) {
        let now = self.state.now_ns;
        let frame = &mut self.state.frames[slot];
        let Cause::Call { parent, .. } = frame.cause else { return };
        frame.sent_ns = now;
        let key = frame.key;
        let caller = self.state.frames[parent].replica as usize;
        let replica = &mut self.state.replicas[caller];
        replica.used[Counter::SentBytes] += REQUEST_BYTES;
        let delay = self.program.network.draw_ns(key.stream(For::Request))
            + egress_ns(replica, key, For::RequestFault);
        self.state.agenda.push(now + delay as u64, Happens::Arrive, slot);
    }

    /// The response leaves the callee.
    pub(super) fn respond(&mut self, slot: u32) {
        let frame = &self.state.frames[slot];
        let replica = &mut self.state.replicas[frame.replica as usize];
        let delay = self.program.network.draw_ns(frame.key.stream(For::Response))
            + egress_ns(replica, frame.key, For::ResponseFault);
        self.state.agenda.push(self.state.now_ns + delay as u64, Happens::Return, slot);
    }

    /// The response reaches the caller, which goes on when it was the last one awaited.
    pub(super) fn take_response(&mut self, slot: u32) {
        let Cause::Call { parent, call, nth } = self.state.frames[slot].cause else { return };
        self.trace_caller(slot, parent);
        let frame = &self.state.frames[parent];
        let replica = &mut self.state.replicas[frame.replica as usize];
        replica.used[Counter::ReceivedBytes] += RESPONSE_BYTES;
        replica.connections.release();
        if let Some(waiting) = replica.connections.grant() {
            self.send(waiting);
        }
        self.state.frames.remove(slot);
        if nth + 1 < self.program.calls[call as usize].times {
            return self.call(parent, call, nth + 1);
        }
        let frame = &mut self.state.frames[parent];
        frame.pending -= 1;
        if frame.pending == 0 {
            self.advance(parent);
        }
    }

    /// Publishes the messages of `call`. Returns when the broker has them, if there are any.
    pub(super) fn publish(&mut self, publisher: u32, call: u32) -> Option<u64> {
        let spec = self.program.calls[call as usize];
        let key = self.state.frames[publisher].key;
        if spec.times == 0 || !key.stream(For::Branch(call)).happens(spec.probability) {
            return None;
        }
        let replica = self.state.frames[publisher].replica as usize;
        let mut all_acknowledged = self.state.now_ns;
        for nth in 0..spec.times {
            if self.state.frames.len() >= FRAMES_MAX {
                self.out.messages_lost += 1;
                continue;
            }
            let slot = self.spawn(publisher, call, nth, Cause::Message);
            let key = self.state.frames[slot].key;
            let sender = &mut self.state.replicas[replica];
            sender.used[Counter::SentBytes] += REQUEST_BYTES;
            let to_broker = self.program.network.draw_ns(key.stream(For::Request))
                + egress_ns(sender, key, For::RequestFault);
            let acknowledged = self.state.now_ns + to_broker as u64;
            self.trace_publisher(slot, publisher, acknowledged);
            let from_broker = self.program.network.draw_ns(key.stream(For::Response));
            self.state.agenda.push(acknowledged + from_broker as u64, Happens::Arrive, slot);
            all_acknowledged = all_acknowledged.max(acknowledged);
        }
        Some(all_acknowledged)
    }
}

/// What a fault of the network adds to a message that leaves `replica`.
pub(super) fn egress_ns(replica: &mut Replica, key: Key, purpose: For) -> f64 {
    let egress = replica.condition.egress;
    if egress.delay_ns <= 0.0 {
        return 0.0;
    }
    let mut stream = key.stream(purpose);
    let mut delay = egress.delay_ns + stream.exponential() * egress.jitter_ns;
    for _ in 0..LOSSES_MAX {
        if !stream.happens(egress.loss) {
            break;
        }
        delay += RETRANSMIT_NS;
        replica.used[Counter::SendDrops] += 1.0;
    }
    delay
}
