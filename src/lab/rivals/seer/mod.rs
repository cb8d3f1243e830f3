//! Seer (ASPLOS 2019): a supervised network of convolutions over the tiers and an LSTM over time
//! that says which tier is to blame.
//!
//! In: queue lengths, latencies and utilisation of every tier over the last intervals, and labels.
//! Out: a probability per tier. Seer sees every queue of the system stack; here their lengths follow
//! from frames by Little's law: arrival rate times time. As in Seer the tiers are in the order of the
//! RPC graph, and the resource is looked up afterwards: the one whose metrics deviate most.
//!
//! In its favour: the network is one for all tiers, so that what it learns at one helps at all
//! others. Labels are few here; Seer's authors had weeks of traces.

mod input;
mod network;
mod system;
mod train;

#[cfg(test)]
pub(super) use input::{CHANNELS, PAST};
pub(super) use system::Seer;
#[cfg(test)]
pub(super) use train::{Example, Lesson, train};
