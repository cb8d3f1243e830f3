//! Prometheus remote write, 1.0 and 2.0.

mod buckets;
mod decode;
mod encoding;
mod histogram;
mod http;
mod key;
mod known;
mod labels;
mod limits;
pub mod proto;
mod recognize;
mod survey;

pub use decode::{WriteRequest, decode_knowing, decode_write_request};
pub use http::router;
pub use known::Known;
pub use limits::Limits;
