//! The way into a running sidecar: real bytes to its real listeners.

mod api;
mod otlp;
mod remote_write;
mod service_graph;

pub use api::{Api, ApiError, Gate, alert_json};
pub use otlp::{SpanSender, encode_export};
pub use remote_write::{encode_write, write_request, write_request_2};
pub use service_graph::{Buckets, ServiceGraph};
