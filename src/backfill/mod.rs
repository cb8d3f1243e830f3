//! `sage backfill`: fills a running sidecar's windows from what already stores telemetry.
//!
//! In: a Prometheus-compatible query API, Jaeger's query API, a stretch of event time. Out: OTLP and
//! remote write to the sidecar's ordinary listeners, in event-time order. Absent on purpose: any way into
//! the sidecar but its listeners, and the wall clock, but for pauses.

mod counts;
mod encode;
mod error;
mod jaeger;
mod jaeger_json;
mod pending;
mod plan;
mod prometheus;
mod prometheus_json;
mod run;
mod selector;
mod state;
mod target;
mod text;

pub use counts::Counts;
pub use error::Error;
pub use plan::{Endpoint, Options, Range};
pub use run::run;
pub use selector::{Selector, selectors};
