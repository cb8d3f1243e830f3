//! Alertmanager's webhook, payload version "4".

mod decode;
mod http;

pub use decode::decode_webhook;
pub use http::router;
