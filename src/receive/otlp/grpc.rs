//! `TraceService/Export` over gRPC, and the services that belong beside it.
//!
//! Calls are unary, so the frame around a message is undone here and the message is read in place. What
//! arrives and what it inflates to is limited before it is in memory.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::SERVICE_NAME;
use tokio::sync::watch;
use tonic::{Code, Status};
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::frame::{HEAD_BYTES, frame, unframe};
use super::health::Readiness;
use super::http::hand_on;
use super::read::read_export;
use super::reflection;
use crate::receive::body::collect;
use crate::receive::error::Rejection;
use crate::receive::intake::Intake;

const PROTOCOL: &str = "otlp_grpc";
/// When a refused sender should come again.
const RETRY: Duration = Duration::from_secs(1);
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The routes of the gRPC listener; `is_serving` is what its health says.
pub fn router(intake: Intake, is_serving: watch::Receiver<bool>) -> Router {
    let health = HealthServer::new(Readiness { is_serving, services: &[SERVICE_NAME] });
    Router::new()
        .route(&format!("/{SERVICE_NAME}/Export"), post(receive))
        .with_state(intake)
        .route_service(&format!("/{}/{{*method}}", health_server::SERVICE_NAME), health)
        .merge(reflection::router())
        .fallback(|| async {
            let served = "served here: TraceService/Export, health and reflection";
            Status::unimplemented(served).into_http::<Body>()
        })
}

async fn receive(State(intake): State<Intake>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if !is_grpc(&parts.headers) {
        intake.metrics.reject(PROTOCOL, "unsupported");
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match export(&intake, &parts.headers, body).await {
        Ok(answer) => success(&answer),
        Err(rejection) => {
            intake.metrics.reject(PROTOCOL, rejection.reason());
            let mut response = status(&rejection).into_http::<Body>();
            if matches!(rejection, Rejection::Unsupported { .. }) {
                let encodings = HeaderValue::from_static("identity,gzip");
                response.headers_mut().insert("grpc-accept-encoding", encodings);
            }
            response
        }
    }
}

/// Messages are protobuf unless the type says otherwise.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    kind.eq_ignore_ascii_case("application/grpc")
        || kind.eq_ignore_ascii_case("application/grpc+proto")
}

async fn export(
    intake: &Intake,
    headers: &HeaderMap,
    body: Body,
) -> Result<ExportTraceServiceResponse, Rejection> {
    let encoding = headers.get("grpc-encoding").map_or(Ok("identity"), HeaderValue::to_str);
    let is_gzip = match encoding.unwrap_or("") {
        "identity" => false,
        "gzip" => true,
        other => {
            let (value, expected) = (other.to_string(), "gzip or identity");
            return Err(Rejection::Unsupported { header: "grpc-encoding", value, expected });
        }
    };
    let spans = {
        let (c, mut share) = (&intake.config, intake.admit()?);
        let max = c.body_bytes_max;
        let body = collect(body, max.saturating_add(HEAD_BYTES), &mut share).await?;
        let message = unframe(&body, is_gzip, max, &mut share)?;
        read_export(&message, c.name_bytes_max, c.queue_items_max)?
    };
    hand_on(intake, PROTOCOL, spans).await
}

fn success(answer: &ExportTraceServiceResponse) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame(answer)).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

/// Overload is retryable with a delay, a body that did not arrive in time without; everything else is
/// final (OTLP 1.11, failures).
fn status(rejection: &Rejection) -> Status {
    let message = rejection.to_string();
    match rejection {
        Rejection::Overloaded(_) | Rejection::Crowded { .. } | Rejection::Short => {
            let details = ErrorDetails::with_retry_info(Some(RETRY));
            Status::with_error_details(Code::Unavailable, message, details)
        }
        Rejection::TooLarge { .. } => Status::resource_exhausted(message),
        Rejection::Unsupported { .. } => Status::unimplemented(message),
        Rejection::Incomplete(_) => Status::deadline_exceeded(message),
        Rejection::Malformed { .. } => Status::invalid_argument(message),
    }
}
