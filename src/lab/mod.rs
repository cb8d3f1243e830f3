//! The proving ground: applications to diagnose, faults to find, scores.

pub mod sim;
