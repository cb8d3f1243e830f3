//! The operator's file: composed of every stage's own `Config`, checked strictly, all faults at once.

mod load;
mod schema;

pub use load::{load, parse};
pub use schema::{Config, Data, Listen};

pub use crate::toml_file::Faults;
