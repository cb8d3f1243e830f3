//! Bytes in, data values out. Every limit on untrusted input is here.
//!
//! In: OTLP traces, Prometheus remote write, Alertmanager webhooks. Out: [`Telemetry`] on a bounded
//! queue and alert deliveries. Absent on purpose: any knowledge of windows, graphs or models.
//!
//! [`Telemetry`]: crate::data::Telemetry

mod body;
mod budget;
mod config;
mod error;
mod fields;
mod intake;
mod metrics;
mod otlp;
mod remote_write;
mod webhook;

pub use budget::Budget;
pub use config::Config;
pub use error::Rejection;
pub use intake::Intake;
pub use metrics::Metrics;
pub use otlp::{decode_export, grpc_router, http_router, read_export};
pub use remote_write::{
    Known as KnownSeries, Limits as WriteLimits, WriteRequest, decode_knowing,
    decode_write_request, proto as remote_write_proto, router as remote_write_router,
};
pub use webhook::{decode_webhook, router as webhook_router};
