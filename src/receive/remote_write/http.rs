//! `POST /api/v1/write`: the status codes that senders rely on.
//!
//! 204 written · 400 never again, the good part is kept · 415 speak another dialect · 503 come again.
//! Never 429 (Prometheus drops the batch by default) and never 413 (vmagent retries it for ever).

use std::io::Read as _;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;

use super::decode::{WriteRequest, decode_write_request};
use crate::receive::body::collect;
use crate::receive::error::{BODY_KEY, Rejection};
use crate::receive::intake::Intake;
use crate::receive::metrics::DropLabels;
use crate::receive::weigh::weigh;

const PROTOCOL: &str = "remote_write";
const V2: &str = "io.prometheus.write.v2.Request";

/// The remote-write route.
pub fn router(intake: Intake) -> Router {
    Router::new().route("/api/v1/write", post(receive)).with_state(intake)
}

/// What the headers promise.
struct Dialect {
    is_v2: bool,
    is_zstd: bool,
}

impl Dialect {
    /// Dispatches on Content-Type and Content-Encoding; the version header is not to be trusted.
    fn of(headers: &HeaderMap) -> Result<Self, Rejection> {
        let text = |name: HeaderName| {
            headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_string()
        };
        let unsupported =
            |header, value, expected| Rejection::Unsupported { header, value, expected };
        let kind = text(header::CONTENT_TYPE);
        let mut parts = kind.split(';').map(str::trim);
        let is_protobuf = parts.next() == Some("application/x-protobuf");
        let proto = parts.find_map(|p| p.strip_prefix("proto="));
        let is_v2 = match proto {
            None | Some("prometheus.WriteRequest") if is_protobuf => false,
            Some(V2) if is_protobuf => true,
            _ => {
                let expected = "application/x-protobuf, with or without proto=prometheus.WriteRequest \
                                or proto=io.prometheus.write.v2.Request";
                return Err(unsupported("Content-Type", kind, expected));
            }
        };
        match text(header::CONTENT_ENCODING).as_str() {
            "snappy" => Ok(Self { is_v2, is_zstd: false }),
            "zstd" => Ok(Self { is_v2, is_zstd: true }),
            other => Err(unsupported(
                "Content-Encoding",
                other.to_string(),
                "snappy (block format) or zstd",
            )),
        }
    }

    fn decompress(&self, bytes: &[u8], max: usize) -> Result<Bytes, Rejection> {
        if self.is_zstd { unzstd(bytes, max) } else { unsnap(bytes, max) }
    }
}

/// Snappy block; the promised length is checked before anything is allocated.
fn unsnap(bytes: &[u8], max: usize) -> Result<Bytes, Rejection> {
    let fail = |e: snap::Error| Rejection::Malformed { what: "snappy block", why: e.to_string() };
    if snap::raw::decompress_len(bytes).map_err(fail)? > max {
        return Err(Rejection::TooLarge { what: "decompressed body", key: BODY_KEY, max });
    }
    Ok(snap::raw::Decoder::new().decompress_vec(bytes).map_err(fail)?.into())
}

/// A zstd window every decoder is expected to have, whatever the frame holds (RFC 8878, 3.1.1.1.2).
const ZSTD_WINDOW: u64 = 8 << 20;

/// The window a zstd frame asks for (RFC 8878, 3.1.1.1). The decoder allocates all of it before it gives
/// out a byte, so a few bytes could otherwise claim gigabytes.
fn window_of(frame: &[u8]) -> u64 {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    let Some((descriptor, rest)) = frame.get(4..).and_then(<[u8]>::split_first) else { return 0 };
    if descriptor & 0x20 == 0 {
        let window = rest.first().copied().unwrap_or(0);
        let base = 1_u64 << (10 + (window >> 3));
        return base + base / 8 * u64::from(window & 7);
    }
    // A single segment: the window is the content.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let width = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    rest.get(dictionary..dictionary + width).map_or(0, number)
}

/// Zstandard, as vmagent sends it first.
fn unzstd(bytes: &[u8], max: usize) -> Result<Bytes, Rejection> {
    let fail = |why: String| Rejection::Malformed { what: "zstd frame", why };
    if window_of(bytes) > (max as u64).max(ZSTD_WINDOW) {
        return Err(Rejection::TooLarge { what: "zstd window", key: BODY_KEY, max });
    }
    let decoder =
        ruzstd::decoding::StreamingDecoder::new(bytes).map_err(|e| fail(e.to_string()))?;
    let mut out = Vec::new();
    decoder.take(max as u64 + 1).read_to_end(&mut out).map_err(|e| fail(e.to_string()))?;
    if out.len() > max {
        return Err(Rejection::TooLarge { what: "decompressed body", key: BODY_KEY, max });
    }
    Ok(out.into())
}

async fn receive(State(intake): State<Intake>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut written = (0, 0);
    let result = async {
        // Headers first: a body nobody can read is not worth reading.
        let dialect = Dialect::of(&parts.headers)?;
        let max = intake.config.body_bytes_max;
        let bytes = dialect.decompress(&collect(body, max).await?, max)?;
        let c = &intake.config;
        weigh(&bytes, c.queue_items_max)?;
        let request = decode_write_request(
            &bytes,
            dialect.is_v2,
            &intake.wanted,
            c.labels_max,
            c.name_bytes_max,
        )?;
        accept(&intake, request, &mut written).await
    }
    .await;
    let mut response = match result {
        Ok(faults) if faults.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(faults) => (StatusCode::BAD_REQUEST, format!("{faults}\n")).into_response(),
        Err(rejection) => {
            intake.metrics.reject(PROTOCOL, rejection.reason());
            refuse(&rejection)
        }
    };
    for (name, value) in [
        ("x-prometheus-remote-write-samples-written", written.0),
        ("x-prometheus-remote-write-histograms-written", written.1),
        ("x-prometheus-remote-write-exemplars-written", 0),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    response
}

/// Hands on what is good; returns what was wrong in words, empty when nothing was.
/// `written` is (samples, native histograms); samples nobody wants count as written.
async fn accept(
    intake: &Intake,
    request: WriteRequest,
    written: &mut (u64, u64),
) -> Result<String, Rejection> {
    let mut dropped = intake.series(request.series).await?;
    *written = (request.samples.saturating_sub(dropped.count), request.histograms);
    intake.metrics.accept(PROTOCOL);
    intake.metrics.samples_ignored.inc_by(request.ignored);
    intake
        .metrics
        .samples_dropped
        .get_or_create(&DropLabels { reason: "invalid" })
        .inc_by(request.invalid_samples);
    // A sender that comes back after an outage replays its log: what is too old by then is dropped
    // and counted without a complaint, or its queue would drown in errors.
    if dropped.late == dropped.count {
        dropped.text.clear();
    }
    dropped.add(request.invalid, || {
        format!("{} series dropped, for example: {}", request.invalid, request.faults.join("; "))
    });
    Ok(dropped.text)
}

fn refuse(rejection: &Rejection) -> Response {
    let code = match rejection {
        Rejection::Unsupported { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Rejection::Overloaded(_) | Rejection::Incomplete(_) => StatusCode::SERVICE_UNAVAILABLE,
        Rejection::Malformed { .. } | Rejection::TooLarge { .. } => StatusCode::BAD_REQUEST,
    };
    let mut response = (code, format!("{rejection}\n")).into_response();
    if code == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
