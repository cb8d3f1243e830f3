//! gRPC server reflection, so that `grpcurl` and its like can list and call what is served here.

use axum::Router;
use tonic_reflection::server::Builder;

/// Descriptors of the trace service and all it needs, from the `.proto` files of OpenTelemetry:
/// `protoc --include_imports --descriptor_set_out=trace_service.binpb
/// opentelemetry/proto/collector/trace/v1/trace_service.proto`.
const TRACE_SERVICE: &[u8] = include_bytes!("trace_service.binpb");

fn descriptors() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(TRACE_SERVICE)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Both versions of the protocol: clients ask for the newer one and fall back to the older.
pub(super) fn router() -> Router {
    let built = "descriptors that are part of the program are in order";
    Router::new()
        .route_service(
            "/grpc.reflection.v1.ServerReflection/{*method}",
            descriptors().build_v1().expect(built),
        )
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{*method}",
            descriptors().build_v1alpha().expect(built),
        )
}
