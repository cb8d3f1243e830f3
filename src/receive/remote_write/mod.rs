//! Prometheus remote write, 1.0 and 2.0.

mod decode;
mod http;
pub mod proto;

pub use decode::{WriteRequest, decode_write_request};
pub use http::router;
