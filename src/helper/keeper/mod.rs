//! Keeps fixes: applies, renews, reverts, and lets nothing stay changed without a lease.
//!
//! The order is always: journal, then kernel; kernel back, then journal. Time is an argument.

mod answer;
mod apply;
mod end;
mod renew;
mod watch;

pub(crate) use answer::Keeper;
