//! The PC algorithm (Spirtes, Glymour and Scheines; order-independent: Colombo and Maathuis, 2014):
//! a causal graph from tests of conditional independence.
//!
//! In: a test. Out: a [`Graph`], some edges of which have no direction. Its cost is exponential in
//! the size of the conditions, which is therefore bounded: [`Search::condition_max`].

mod entropy;
mod gaussian;
mod graph;
mod orient;
mod search;

pub(super) use entropy::Binary;
#[cfg(test)]
pub(super) use entropy::chi_squared_tail;
pub(super) use gaussian::{Gaussian, correlation};
pub(super) use graph::Graph;
#[cfg(test)]
pub(super) use search::Independence;
pub(super) use search::{Order, Search, learn};
