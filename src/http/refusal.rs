//! "Not you", in the words of each protocol.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use prost::Message as _;
use serde_json::json;
use tonic::Code;

use super::access::Refusal;

/// The language in which a listener refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' JSON envelope.
    Api,
    /// `google.rpc.Status` in the encoding of the request.
    Otlp,
    /// gRPC status.
    Grpc,
}

impl Form {
    pub(super) fn refuse(
        self,
        headers: &HeaderMap,
        refusal: &Refusal,
        challenge: &HeaderValue,
    ) -> Response {
        let (status, code, kind) = match refusal {
            Refusal::Missing | Refusal::Wrong => {
                (StatusCode::UNAUTHORIZED, Code::Unauthenticated, "unauthorized")
            }
            Refusal::Role(_) => (StatusCode::FORBIDDEN, Code::PermissionDenied, "forbidden"),
        };
        let text = refusal.to_string();
        let json = "application/json";
        let (content, body) = match self {
            Self::Grpc => return tonic::Status::new(code, text).into_http::<Body>(),
            Self::Api => {
                let body = json!({"status": "error", "errorType": kind, "error": text});
                (json, body.to_string().into_bytes())
            }
            Self::Otlp if headers.get(header::CONTENT_TYPE).is_some_and(is_protobuf) => {
                let status =
                    tonic_types::Status { code: code as i32, message: text, details: Vec::new() };
                ("application/x-protobuf", status.encode_to_vec())
            }
            Self::Otlp => {
                (json, json!({"code": code as i32, "message": text}).to_string().into_bytes())
            }
        };
        let mut response = (status, [(header::CONTENT_TYPE, content)], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.clone());
        }
        response
    }
}

fn is_protobuf(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"application/x-protobuf")
}
