//! The simulator: an application that runs interval by interval.
//!
//! In: [`AppSpec`], [`SimConfig`], a seed, and for each interval its length, load and faults. Out:
//! an [`Observation`] per interval. Absent on purpose: I/O, clocks, threads. The same arguments
//! give the same result, and a clone that is run without a fault gives what would have happened
//! without it: same arrivals, same work, same branches.

use std::sync::Arc;
use std::time::Duration;

use super::config::SimConfig;
use super::engine::{Engine, Output};
use super::error::SpecError;
use super::fault::Fault;
use super::gate::Gate;
use super::observation::{Observation, Truth};
use super::program::Program;
use super::random::Keys;
use super::scrape::Samples;
use super::series::series;
use super::spec::AppSpec;
use super::state::{State, nanoseconds};
use crate::data::{EventTime, Interval};

/// Load beyond which nothing more is learnt.
const LOAD_MAX: f64 = 1000.0;

/// An application that runs.
#[derive(Clone, Debug)]
pub struct Simulator {
    program: Arc<Program>,
    config: SimConfig,
    keys: Keys,
    epoch_ms: i64,
    state: State,
}

impl Simulator {
    /// An idle application at `start_ms` milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// What is wrong with the specification.
    pub fn new(
        spec: &AppSpec,
        config: SimConfig,
        seed: u64,
        start_ms: i64,
    ) -> Result<Self, SpecError> {
        let keys = Keys::new(seed);
        let program = Program::new(spec, &config, keys.hosts)?;
        let state = State::new(&program, &config, &keys);
        Ok(Self { program: Arc::new(program), config, keys, epoch_ms: start_ms, state })
    }

    /// The moment the next interval begins.
    pub fn now(&self) -> EventTime {
        EventTime(self.state.time_ms(self.epoch_ms))
    }

    /// Lets the application run for `interval` at `load_factor` times its base rate while `faults`
    /// hold. Queues and counters carry over from the interval before.
    pub fn run(&mut self, interval: Duration, load_factor: f64, faults: &[Fault]) -> Observation {
        let start = self.now();
        let (program, requests) = (Arc::clone(&self.program), self.state.requests);
        let end_ns = self.state.now_ns.saturating_add(nanoseconds(interval));
        let load = if load_factor.is_nan() { 0.0 } else { load_factor.clamp(0.0, LOAD_MAX) };
        let mut engine = Engine {
            program: &program,
            config: &self.config,
            keys: self.keys,
            epoch_ms: self.epoch_ms,
            state: &mut self.state,
            out: Output {
                spans: Vec::new(),
                samples: Samples::of(&program),
                latencies_ms: Vec::new(),
                dropped: 0,
                messages_lost: 0,
            },
        };
        engine.strike(faults);
        engine.run_until(end_ns, program.base_rate * load);
        let out = engine.out;
        Observation {
            interval: Interval { start, end: self.now() },
            spans: out.spans,
            series: series(&program, &self.config, &out.samples),
            truth: Truth {
                latencies_ms: out.latencies_ms,
                arrived: self.state.requests - requests,
                dropped: out.dropped,
                in_flight: self.state.gates.iter().map(Gate::under_way).sum(),
                messages_lost: out.messages_lost,
            },
        }
    }
}
