//! `TraceService/Export` over gRPC, and the services that belong beside it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::middleware::map_response_with_state;
use axum::response::Response as AnyResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    SERVICE_NAME, TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::health::Readiness;
use super::http::export;
use super::reflection;
use crate::receive::error::Rejection;
use crate::receive::intake::Intake;
use crate::receive::metrics::Metrics;

const GRPC_STATUS: &str = "grpc-status";
const PROTOCOL: &str = "otlp_grpc";
/// When a refused sender should come again.
const RETRY: Duration = Duration::from_secs(1);

/// The routes of the gRPC listener; `is_serving` is what its health says.
pub fn router(intake: Intake, is_serving: watch::Receiver<bool>) -> Router {
    let (max, metrics) = (intake.config.body_bytes_max, intake.metrics.clone());
    let service = TraceServiceServer::new(Exporter { intake })
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(max);
    let health = HealthServer::new(Readiness { is_serving, services: &[SERVICE_NAME] });
    Router::new()
        .route_service(&format!("/{SERVICE_NAME}/Export"), service)
        .layer(map_response_with_state(metrics, settle_refusal))
        .route_service(&format!("/{}/{{*method}}", health_server::SERVICE_NAME), health)
        .merge(reflection::router())
        .fallback(|| async {
            let served = "served here: TraceService/Export, health and reflection";
            Status::unimplemented(served).into_http::<Body>()
        })
}

/// Counts what tonic refuses by itself, and makes "too large" final: its OUT_OF_RANGE would be retried
/// for ever.
async fn settle_refusal(State(metrics): State<Metrics>, mut response: AnyResponse) -> AnyResponse {
    let code = |c: Code| HeaderValue::from(c as i32);
    let headers = response.headers_mut();
    match headers.get(GRPC_STATUS) {
        Some(c) if *c == code(Code::OutOfRange) || *c == code(Code::ResourceExhausted) => {
            headers.insert(GRPC_STATUS, code(Code::ResourceExhausted));
            metrics.reject(PROTOCOL, "too_large");
        }
        Some(c) if *c == code(Code::Internal) => metrics.reject(PROTOCOL, "malformed"),
        _ => {}
    }
    response
}

struct Exporter {
    intake: Intake,
}

#[tonic::async_trait]
impl TraceService for Exporter {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        match export(&self.intake, PROTOCOL, request.into_inner()).await {
            Ok(response) => Ok(Response::new(response)),
            Err(rejection) => {
                self.intake.metrics.reject(PROTOCOL, rejection.reason());
                Err(status(&rejection))
            }
        }
    }
}

/// Overload is retryable with a delay; everything else is final (OTLP 1.11, failures).
fn status(rejection: &Rejection) -> Status {
    let message = rejection.to_string();
    match rejection {
        Rejection::Overloaded(_) => {
            let details = ErrorDetails::with_retry_info(Some(RETRY));
            Status::with_error_details(Code::Unavailable, message, details)
        }
        Rejection::TooLarge { .. } => Status::resource_exhausted(message),
        _ => Status::invalid_argument(message),
    }
}
