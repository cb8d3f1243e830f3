//! A discrete-event simulation of a microservice application.
//!
//! In: an [`AppSpec`], faults and load. Out: the spans and metrics that a real one would send, and
//! the truth about its latency. Requests queue for worker threads, cores and disks, and callers
//! hold their thread while callees work, so that trouble spreads upstream as it does in the wild.
//! Absent on purpose: I/O, wall clock, threads, global state; time and seeds are arguments.

mod apps;
mod call;
mod check;
mod condition;
mod config;
mod counter;
mod disturbance;
mod engine;
mod error;
mod event;
mod fault;
mod flow;
mod frame;
mod gate;
mod host;
mod host_counter;
mod nominal;
mod observation;
mod program;
mod random;
mod replica;
mod scrape;
mod series;
mod simulator;
mod spec;
mod state;
mod station;
#[cfg(test)]
mod tests;
mod tracer;

pub use apps::{
    chain, fanout, gateway, hotel_reservation, media_service, named_app, paper_apps, random_graph,
    social_network,
};
pub use config::SimConfig;
pub use error::SpecError;
pub use fault::{Fault, FaultKind};
pub use nominal::Nominal;
pub use observation::{Observation, Truth};
pub use simulator::Simulator;
pub use spec::{AppSpec, CallSpec, Entry, Kind, OpSpec, ServiceSpec, Step};
