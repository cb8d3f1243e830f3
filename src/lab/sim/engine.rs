//! The event loop: users arrive, events happen, time passes.
//!
//! In: program, state, faults and load of one interval. Out: the state at its end, and [`Output`].
//! What a request does is in `flow.rs`, what it sends and gets in `call.rs`.

use super::condition::Condition;
use super::config::SimConfig;
use super::disturbance::Disturbance;
use super::event::Happens;
use super::fault::{Fault, FaultKind, Strengths};
use super::frame::{Cause, Frame};
use super::program::Program;
use super::random::{For, Key, Keys};
use super::scrape::Samples;
use super::state::State;
use crate::data::Span;

/// Last resort against specifications that pile up work or messages faster than users stay away.
pub(super) const FRAMES_MAX: usize = 1 << 20;

/// What an interval yields.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) spans: Vec<Span>,
    pub(super) samples: Samples,
    pub(super) latencies_ms: Vec<f32>,
    pub(super) dropped: u64,
    pub(super) messages_lost: u64,
}

/// The simulation of one interval.
pub(super) struct Engine<'a> {
    pub(super) program: &'a Program,
    pub(super) config: &'a SimConfig,
    pub(super) keys: Keys,
    /// Unix time of the beginning of the simulation.
    pub(super) epoch_ms: i64,
    pub(super) state: &'a mut State,
    pub(super) out: Output,
}

impl Engine<'_> {
    /// Puts every replica and every host into the condition that `faults` make for it.
    pub(super) fn strike(&mut self, faults: &[Fault]) {
        let now = self.state.now_ns;
        let mut neighbours = vec![0.0_f64; self.program.nodes.len()];
        for (s, service) in self.program.services.iter().enumerate() {
            for r in service.replicas.clone() {
                let number = r - service.replicas.start;
                let strengths = Strengths::on(s, number, faults);
                let neighbour = &mut neighbours[self.program.replicas[r].node];
                // One job, however many it harms.
                *neighbour = neighbour.max(strengths.of(FaultKind::NoisyNeighbour));
                let condition = Condition::of(service, &strengths);
                let disturbance = Disturbance::of(service, &strengths);
                let replica = &mut self.state.replicas[r];
                replica.suffer(now, condition, disturbance);
                while let Some(frame) = replica.workers.grant() {
                    self.state.agenda.push(now, Happens::Start, frame);
                }
                while let Some(frame) = self.state.replicas[r].connections.grant() {
                    self.send(frame);
                }
            }
        }
        for (n, node) in self.program.nodes.iter().enumerate() {
            self.state.hosts[n].suffer(now, node, neighbours[n]);
        }
    }

    /// Lets time pass until `end_ns`, with `rate` arrivals per second.
    pub(super) fn run_until(&mut self, end_ns: u64, rate: f64) {
        let mut arrival_ns = if rate > 0.0 {
            self.state.now_ns as f64 + self.state.until_arrival / rate * 1e9
        } else {
            f64::INFINITY
        };
        loop {
            let before_ns = end_ns.min(arrival_ns as u64);
            if let Some(event) = self.state.agenda.pop_before(before_ns) {
                self.state.now_ns = event.at_ns;
                self.happen(event.happens, event.index);
            } else if before_ns < end_ns {
                self.state.now_ns = before_ns;
                self.admit();
                let mut next = self.keys.requests.child(self.state.requests).stream(For::Arrival);
                arrival_ns += next.exponential() / rate * 1e9;
            } else {
                break;
            }
        }
        self.state.now_ns = end_ns;
        if rate > 0.0 {
            self.state.until_arrival = (arrival_ns - end_ns as f64).max(0.0) * rate / 1e9;
        }
    }

    fn happen(&mut self, happens: Happens, index: u32) {
        match happens {
            Happens::Arrive => self.arrive(index),
            Happens::Start => self.start(index),
            Happens::Continue => self.advance(index),
            Happens::Return => self.take_response(index),
            Happens::Scrape => self.scrape(index as usize),
            Happens::Probe => self.probe(index as usize),
            Happens::ScrapeHost => self.scrape_host(index as usize),
        }
    }

    /// A user sends a request, unless earlier users of the same operation wait for too long.
    fn admit(&mut self) {
        let number = self.state.requests;
        self.state.requests += 1;
        let key = self.keys.requests.child(number);
        let share = key.stream(For::Entry).uniform();
        let entry = self.program.entries.partition_point(|e| e.1 <= share);
        let State { frames, gates, now_ns, .. } = &mut *self.state;
        let is_under_way = |number: u64, slot: u32| {
            frames[slot].request == number && matches!(frames[slot].cause, Cause::User { .. })
        };
        let gate = &mut gates[entry];
        if gate.is_shunned(*now_ns, is_under_way) || frames.len() >= FRAMES_MAX {
            self.out.dropped += 1;
            return;
        }
        let is_traced = key.stream(For::Tracing).happens(self.config.trace_ratio);
        let (op, cause) = (self.program.entries[entry].0, Cause::User { entry: entry as u32 });
        let frame = self.frame(key, op, cause, number, is_traced);
        let slot = self.state.frames.insert(frame);
        self.state.gates[entry].enter(self.state.now_ns, number, slot);
        self.arrive(slot);
    }

    /// A new invocation of `op` on a random replica.
    pub(super) fn frame(
        &self,
        key: Key,
        op: u32,
        cause: Cause,
        request: u64,
        is_traced: bool,
    ) -> Frame {
        let operation = &self.program.ops[op as usize];
        let replicas = &self.program.services[operation.service].replicas;
        let replica = match replicas.len() {
            1 => replicas.start,
            count => replicas.start + key.stream(For::Replica).index(count),
        };
        Frame {
            key,
            cause,
            request,
            op,
            replica: replica as u32,
            step: operation.steps.start,
            pending: 0,
            sent_ns: self.state.now_ns,
            arrived_ns: 0,
            started_ns: 0,
            is_traced,
        }
    }
}
