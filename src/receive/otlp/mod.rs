//! OTLP traces over gRPC and HTTP.

mod attributes;
mod decode;
mod frame;
mod grpc;
mod health;
mod http;
mod names;
mod origin;
mod read;
mod reflection;
mod tracestate;
mod wanted;

pub use decode::decode_export;
pub use grpc::router as grpc_router;
pub use http::router as http_router;
pub use read::read_export;
