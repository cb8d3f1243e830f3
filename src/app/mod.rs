//! Wiring: the only place that sees more than one stage.

mod error;
mod privilege;
mod run;
mod wiring;

pub use error::StartError;
pub use privilege::drop_capabilities;
pub use run::{Running, serve, start, wait_for_signal};
