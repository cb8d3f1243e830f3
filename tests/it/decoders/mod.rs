//! What is read in place is what generated code reads: on captured bytes, on random messages, and on
//! both of them cut short or damaged.

mod bodies;
mod damage;
mod mutations;
mod otlp;
mod questions;
mod remote_write;
