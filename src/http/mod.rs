//! Listeners: bind, TLS, who may ask what, limits, time-outs, graceful stop. Routing is the caller's.
//!
//! In: a router for each port. Out: answers. Absent on purpose: what the paths mean; the caller says
//! which [`Need`] each has.

mod access;
mod config;
mod connection;
mod error;
mod keys;
mod listener;
mod metrics;
mod refusal;
mod security;
mod tls;

pub use access::Need;
pub use config::{Auth, Credential, Limits, Role, Tls};
pub use error::{BindError, FileError};
pub use listener::Listener;
pub use metrics::Metrics;
pub use refusal::Form;
pub use security::Security;
