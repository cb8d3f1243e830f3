//! One connection to a receiver, which it gets bodies over, and what it answers.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, Uri};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Collected};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;

use super::target::{Protocol, Target};

/// An answer that has not come by then is none.
const PATIENCE: Duration = Duration::from_secs(30);
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// What stands before a gRPC message: not compressed, length.
const HEAD_BYTES: usize = 5;
/// Written by receivers of remote write 2.0.
const WRITTEN: &str = "x-prometheus-remote-write-samples-written";

/// What a receiver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has taken all but so many items.
    Acknowledged { status: String, rejected: u64 },
    /// It has not taken the request.
    Refused(String),
    /// Nothing that could be understood.
    Failed(String),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client<HttpConnector, Body>,
    uri: Uri,
    protocol: Protocol,
}

impl Connection {
    /// Is opened by the first request.
    pub(super) fn new(target: &Target) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let is_grpc = target.protocol == Protocol::OtlpGrpc;
        let client = Client::builder(TokioExecutor::new())
            .http2_only(is_grpc)
            // Bodies are larger than what HTTP/2 lets through at once by default.
            .http2_adaptive_window(true)
            .build(connector);
        let mut parts = target.uri.clone().into_parts();
        if is_grpc {
            parts.path_and_query = Some(axum::http::uri::PathAndQuery::from_static(EXPORT));
        }
        let uri = Uri::from_parts(parts).unwrap_or_else(|_| target.uri.clone());
        Self { client, uri, protocol: target.protocol }
    }

    /// Makes of a message what is sent: compressed, or in its frame.
    pub(super) fn pack(&self, message: &[u8]) -> Bytes {
        match self.protocol {
            Protocol::OtlpGrpc => {
                let mut framed = BytesMut::with_capacity(HEAD_BYTES + message.len());
                framed.put_u8(0);
                framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
                framed.put_slice(message);
                framed.freeze()
            }
            Protocol::OtlpHttp => Bytes::copy_from_slice(message),
            // Only bodies beyond 4 GiB cannot be compressed.
            Protocol::RemoteWrite1 | Protocol::RemoteWrite2 => {
                snap::raw::Encoder::new().compress_vec(message).unwrap_or_default().into()
            }
        }
    }

    /// Sends what was packed, with so many items in it.
    pub(super) async fn send(&self, body: Bytes, items: u64) -> Answer {
        let exchange = async {
            let response = self.client.request(self.request(body)?).await.map_err(|e| {
                if e.is_connect() { "not connected".to_string() } else { "cut off".to_string() }
            })?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|_| "cut off".to_string())?;
            Ok(self.understand(&Response::from_parts(parts, ()), body, items))
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => Answer::Failed(why),
            Err(_) => Answer::Failed("no answer in time".into()),
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Body>, String> {
        let headers: &[(&str, &str)] = match self.protocol {
            Protocol::OtlpGrpc => &[("content-type", "application/grpc"), ("te", "trailers")],
            Protocol::OtlpHttp => &[("content-type", "application/x-protobuf")],
            Protocol::RemoteWrite1 => &[
                ("content-type", "application/x-protobuf"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "0.1.0"),
            ],
            Protocol::RemoteWrite2 => &[
                ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "2.0.0"),
            ],
        };
        let mut request = Request::builder().method(Method::POST).uri(self.uri.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("user-agent", "sage-lab");
        request.body(Body::from(body)).map_err(|e| e.to_string())
    }

    fn understand(&self, head: &Response<()>, body: Collected<Bytes>, items: u64) -> Answer {
        let status = head.status();
        if self.protocol == Protocol::OtlpGrpc {
            return grpc(head.headers(), body);
        }
        if !status.is_success() {
            return Answer::Refused(status.as_str().into());
        }
        let rejected = if self.protocol == Protocol::OtlpHttp {
            rejected(&body.to_bytes())
        } else {
            let written = head.headers().get(WRITTEN).and_then(|v| v.to_str().ok()?.parse().ok());
            written.map_or(0, |written: u64| items.saturating_sub(written))
        };
        Answer::Acknowledged { status: status.as_str().into(), rejected }
    }
}

/// The status is in the trailers, or in the headers when there is no message.
fn grpc(headers: &HeaderMap, body: Collected<Bytes>) -> Answer {
    let code = |headers: &HeaderMap| {
        let value = headers.get("grpc-status")?;
        Some(value.to_str().ok()?.to_string())
    };
    match body.trailers().and_then(code).or_else(|| code(headers)) {
        None => Answer::Failed("no grpc-status".into()),
        Some(code) if code == "0" => {
            let message = body.to_bytes();
            let message = message.get(HEAD_BYTES..).unwrap_or_default();
            Answer::Acknowledged { status: "grpc 0".into(), rejected: rejected(message) }
        }
        Some(code) => Answer::Refused(format!("grpc {code}")),
    }
}

fn rejected(message: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(message).unwrap_or_default();
    let rejected = answer.partial_success.map_or(0, |p| p.rejected_spans);
    u64::try_from(rejected).unwrap_or(0)
}
