//! Telemetry in, frames out.

mod given_up;
mod limits;
mod longer;
mod pairing;
mod scene;
