//! Structure only, no learning: who calls whom, and what follows from that for causes and effects.
//!
//! In: frames. Out: [`RpcGraph`] and [`CausalNet`]. Also the [`Mechanism`] trait, all that diagnosis
//! may ask of any model of a net.

mod export;
mod learn;
mod mechanism;
mod net;
#[cfg(test)]
mod tests;
mod variable;

pub use export::{cbn_dot, cbn_json, rpc_graph_json};
pub use learn::{Config, RpcGraph};
pub use mechanism::{
    Case, Delay, Deviations, Hypothesis, Latencies, Mechanism, Quality, Query, Restore, Situation,
    What,
};
pub use net::{CausalNet, RpcNode};
pub use variable::Variable;
