//! Telemetry in, frames out.

mod given_up;
mod limits;
mod pairing;
mod scene;
