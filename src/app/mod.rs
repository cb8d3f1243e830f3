//! Wiring: the only place that sees more than one stage.

mod access;
mod budget;
mod disk;
mod error;
mod news;
mod privilege;
mod run;
mod signals;
mod views;
mod wiring;

pub use error::Error;
pub use privilege::drop_capabilities;
pub use run::{Running, serve, start, start_with};
pub use signals::{Request, Signals, end_with};
