//! `POST /v1/traces`: protobuf and JSON, gzip. Answers in the encoding of the request.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use tonic_types::Status as RpcStatus;

use super::decode::decode_export;
use super::read::{PARTS, read_export};
use crate::data::Span;
use crate::receive::body::{collect, gunzip};
use crate::receive::budget::Share;
use crate::receive::config::Config;
use crate::receive::error::Rejection;
use crate::receive::intake::Intake;
use crate::receive::metrics::DropLabels;

const PROTOCOL: &str = "otlp_http";
/// What an object of OTLP/JSON takes in memory, the largest of them.
const OBJECT_BYTES: usize = 256;

/// The routes of the OTLP/HTTP listener. Metrics and logs are politely refused with 404.
pub fn router(intake: Intake) -> Router {
    Router::new().route("/v1/traces", post(receive)).with_state(intake)
}

/// Counts and hands on the spans of a request, and the number of invalid ones; shared with gRPC.
pub(super) async fn hand_on(
    intake: &Intake,
    protocol: &'static str,
    (spans, invalid): (Vec<Span>, u64),
) -> Result<ExportTraceServiceResponse, Rejection> {
    let mut dropped = intake.spans(spans).await?;
    intake.metrics.accept(protocol);
    intake.metrics.spans_dropped.get_or_create(&DropLabels { reason: "invalid" }).inc_by(invalid);
    dropped.add(invalid, || {
        format!("{invalid} spans dropped: bad trace or span id, or no start or end time")
    });
    let partial_success = (dropped.count > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(dropped.count).unwrap_or(i64::MAX),
        error_message: dropped.text,
    });
    Ok(ExportTraceServiceResponse { partial_success })
}

#[derive(Clone, Copy)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    const EXPECTED: &'static str = "application/x-protobuf or application/json";

    fn of(headers: &HeaderMap) -> Result<Self, Rejection> {
        let value = text(headers, header::CONTENT_TYPE);
        match value.split(';').next().unwrap_or("").trim() {
            "application/x-protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(Rejection::Unsupported {
                header: "Content-Type",
                value,
                expected: Self::EXPECTED,
            }),
        }
    }

    fn decode(
        self,
        bytes: &[u8],
        config: &Config,
        share: &mut Share,
    ) -> Result<(Vec<Span>, u64), Rejection> {
        if matches!(self, Self::Protobuf) {
            return read_export(bytes, config.name_bytes_max, config.queue_items_max);
        }
        // An object is two bytes here and hundreds in memory.
        let objects = bytes.iter().filter(|b| **b == b'{').count();
        let max = PARTS * config.queue_items_max as usize;
        if objects > max {
            let (what, key) = ("number of objects", "16 * receive.queue_items_max");
            return Err(Rejection::TooLarge { what, key, max });
        }
        share.take(OBJECT_BYTES * objects)?;
        let request = serde_json::from_slice(bytes)
            .map_err(|e| Rejection::Malformed { what: "OTLP JSON", why: e.to_string() })?;
        Ok(decode_export(&request, config.name_bytes_max))
    }

    /// `json` is what the protobuf message looks like in OTLP/JSON.
    fn answer(
        self,
        code: StatusCode,
        message: &impl Message,
        json: impl FnOnce() -> String,
    ) -> Response {
        let (kind, body) = match self {
            Self::Protobuf => ("application/x-protobuf", message.encode_to_vec()),
            Self::Json => ("application/json", json().into_bytes()),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = code;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

async fn receive(State(intake): State<Intake>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let encoding = Encoding::of(&parts.headers);
    let result = match encoding {
        Ok(encoding) => accept(&intake, encoding, &parts.headers, body).await,
        Err(rejection) => Err(rejection),
    };
    // Senders of other types still get a body that says what is taken here.
    let encoding = Encoding::of(&parts.headers).unwrap_or(Encoding::Json);
    match result {
        Ok(response) => encoding.answer(StatusCode::OK, &response, || {
            // Full success is an empty message: the field must not even be null.
            let said = response.partial_success.is_some().then(|| serde_json::to_string(&response));
            said.and_then(Result::ok).unwrap_or_else(|| "{}".into())
        }),
        Err(rejection) => {
            intake.metrics.reject(PROTOCOL, rejection.reason());
            refuse(encoding, &rejection)
        }
    }
}

async fn accept(
    intake: &Intake,
    encoding: Encoding,
    headers: &HeaderMap,
    body: Body,
) -> Result<ExportTraceServiceResponse, Rejection> {
    let max = intake.config.body_bytes_max;
    let compression = text(headers, header::CONTENT_ENCODING);
    let gzipped = match compression.as_str() {
        "" | "identity" => false,
        "gzip" => true,
        _ => {
            return Err(Rejection::Unsupported {
                header: "Content-Encoding",
                value: compression,
                expected: "gzip or none",
            });
        }
    };
    let spans = {
        let mut share = intake.admit()?;
        let mut bytes = collect(body, max, &mut share).await?;
        if gzipped {
            bytes = gunzip(&bytes, max, &mut share)?;
        }
        encoding.decode(&bytes, &intake.config, &mut share)?
    };
    hand_on(intake, PROTOCOL, spans).await
}

/// Only 429, 502, 503 and 504 are retried by OTLP/HTTP senders.
fn refuse(encoding: Encoding, rejection: &Rejection) -> Response {
    let (http, grpc) = match rejection {
        Rejection::Malformed { .. } => (StatusCode::BAD_REQUEST, tonic::Code::InvalidArgument),
        Rejection::Incomplete(_) => (StatusCode::REQUEST_TIMEOUT, tonic::Code::Aborted),
        Rejection::TooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, tonic::Code::ResourceExhausted)
        }
        Rejection::Unsupported { .. } => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, tonic::Code::InvalidArgument)
        }
        Rejection::Overloaded(_) | Rejection::Crowded { .. } | Rejection::Short => {
            (StatusCode::SERVICE_UNAVAILABLE, tonic::Code::Unavailable)
        }
    };
    let status =
        RpcStatus { code: grpc as i32, message: rejection.to_string(), details: Vec::new() };
    let mut response = encoding.answer(http, &status, || {
        serde_json::json!({"code": status.code, "message": status.message}).to_string()
    });
    if http == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A header as text, empty when absent or not text.
fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_ascii_lowercase()
}
