//! OTLP traces: gRPC on 4317, HTTP with protobuf or JSON on 4318.

mod decode;
mod grpc;
mod health;
mod http;
mod reflection;

pub use decode::decode_export;
pub use grpc::router as grpc_router;
pub use http::router as http_router;
