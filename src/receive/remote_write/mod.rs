//! Prometheus remote write, 1.0 and 2.0.

mod decode;
mod encoding;
mod histogram;
mod http;
mod labels;
mod limits;
pub mod proto;
mod survey;

pub use decode::{WriteRequest, decode_write_request};
pub use http::router;
pub use limits::Limits;
