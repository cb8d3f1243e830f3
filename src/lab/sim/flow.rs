//! What becomes of a request inside a replica: it queues for a worker thread, keeps it through all
//! steps of its operation, also while callees work, and answers.

use super::condition::Stall;
use super::counter::Counter;
use super::engine::Engine;
use super::event::Happens;
use super::frame::Cause;
use super::program::Work;
use super::random::{For, Key, Time};
use super::replica::Replica;

/// Pages read back in one stall.
const PAGES_PER_STALL: f64 = 12.0;
/// Spread of the time in a critical section.
const LOCK_CV: f64 = 0.5;
/// Bytes of a request and of a response.
pub(super) const REQUEST_BYTES: f64 = 900.0;
pub(super) const RESPONSE_BYTES: f64 = 2600.0;

impl Engine<'_> {
    /// A request reaches its replica.
    pub(super) fn arrive(&mut self, slot: u32) {
        let now = self.state.now_ns;
        let frame = &mut self.state.frames[slot];
        frame.arrived_ns = now;
        let replica = &mut self.state.replicas[frame.replica as usize];
        replica.occupy(now);
        replica.inside += 1;
        replica.used[Counter::ReceivedBytes] += REQUEST_BYTES;
        if replica.workers.acquire(slot) {
            self.start(slot);
        }
    }

    /// A worker thread takes a request.
    pub(super) fn start(&mut self, slot: u32) {
        let now = self.state.now_ns;
        let frame = &mut self.state.frames[slot];
        frame.started_ns = now;
        let replica = &mut self.state.replicas[frame.replica as usize];
        if replica.condition.lock_ns <= 0.0 {
            return self.advance(slot);
        }
        let hold = Time::of(replica.condition.lock_ns / 1e3, LOCK_CV);
        let hold_ns = hold.draw_ns(frame.key.stream(For::Lock)) as u64;
        let done = replica.lock.serve(now, hold_ns).done_ns;
        self.state.agenda.push(done, Happens::Continue, slot);
    }

    /// Does the next steps of an operation until one takes time or none is left.
    pub(super) fn advance(&mut self, slot: u32) {
        let now = self.state.now_ns;
        loop {
            let frame = &mut self.state.frames[slot];
            let index = frame.step;
            if index >= self.program.ops[frame.op as usize].steps.end {
                return self.finish(slot);
            }
            frame.step += 1;
            let key = frame.key;
            let replica = &mut self.state.replicas[frame.replica as usize];
            let done = match self.program.steps[index as usize] {
                Work::Cpu(time) => {
                    let computed = replica.compute(now, time.draw_ns(key.stream(For::Step(index))));
                    computed + stall_ns(replica, key, index)
                }
                Work::Disk { time, probability } => {
                    let mut stream = key.stream(For::Step(index));
                    if !stream.happens(probability) {
                        continue;
                    }
                    replica.access_disk(now, time.draw_ns(stream))
                }
                Work::Calls { from, to } => {
                    if self.call_all(slot, from, to) {
                        return;
                    }
                    continue;
                }
                Work::Publish(call) => match self.publish(slot, call) {
                    Some(acknowledged) => acknowledged,
                    None => continue,
                },
            };
            self.state.agenda.push(done, Happens::Continue, slot);
            return;
        }
    }

    /// The operation is over: the worker thread is free, the response leaves.
    fn finish(&mut self, slot: u32) {
        let now = self.state.now_ns;
        self.trace_callee(slot);
        let frame = &self.state.frames[slot];
        let replica = &mut self.state.replicas[frame.replica as usize];
        replica.occupy(now);
        replica.inside -= 1;
        replica.used[Counter::SentBytes] += RESPONSE_BYTES;
        replica.workers.release();
        if let Some(next) = replica.workers.grant() {
            // By way of the agenda, lest a long queue of empty operations nest as deeply.
            self.state.agenda.push(now, Happens::Start, next);
        }
        match frame.cause {
            Cause::Call { .. } => self.respond(slot),
            Cause::User { entry } => {
                self.out.latencies_ms.push((now - frame.sent_ns) as f32 / 1e6);
                self.state.gates[entry as usize].answer(now);
                self.state.frames.remove(slot);
            }
            Cause::Message | Cause::Nothing => self.state.frames.remove(slot),
        }
    }
}

/// Time that faults make a thread wait after computing.
fn stall_ns(replica: &mut Replica, key: Key, step: u32) -> u64 {
    let (paging, logging) = (replica.condition.paging, replica.condition.logging);
    if paging.probability <= 0.0 && logging.probability <= 0.0 {
        return 0;
    }
    let mut stream = key.stream(For::StepFault(step));
    let mut draw = |stall: Stall| {
        let happens = stream.happens(stall.probability);
        if happens { stream.exponential() * stall.mean_ns } else { 0.0 }
    };
    let (paged, logged) = (draw(paging), draw(logging));
    if paged > 0.0 {
        replica.used[Counter::MajorFaults] += PAGES_PER_STALL;
        replica.used[Counter::MemoryWaiting] += paged / 1e9;
        replica.used[Counter::ReadBytes] += PAGES_PER_STALL * 4096.0;
    }
    replica.used[Counter::IoWaiting] += logged / 1e9;
    (paged + logged) as u64
}
