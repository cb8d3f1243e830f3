//! `POST /api/v1/write`: the status codes that senders rely on.
//!
//! 204 written · 400 never again, the good part is kept · 415 speak another dialect · 503 come again.
//! Never 429 (Prometheus drops the batch by default) and never 413 (vmagent retries it for ever).

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::decode::{WriteRequest, decode_knowing};
use super::encoding::{unsnap, unzstd};
use super::limits::Limits;
use crate::receive::body::collect;
use crate::receive::budget::Share;
use crate::receive::error::Rejection;
use crate::receive::intake::Intake;
use crate::receive::metrics::DropLabels;

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
        let (media, proto) = parse_type(&kind);
        let is_protobuf = media.eq_ignore_ascii_case("application/x-protobuf");
        let is_v2 = match proto {
            None | Some("prometheus.WriteRequest") if is_protobuf => false,
            Some(V2) if is_protobuf => true,
            _ => {
                let expected = "application/x-protobuf, with or without proto=prometheus.WriteRequest \
                                or proto=io.prometheus.write.v2.Request";
                return Err(unsupported("Content-Type", kind, expected));
            }
        };
        match text(header::CONTENT_ENCODING).to_ascii_lowercase().as_str() {
            "snappy" => Ok(Self { is_v2, is_zstd: false }),
            "zstd" => Ok(Self { is_v2, is_zstd: true }),
            other => Err(unsupported(
                "Content-Encoding",
                other.to_string(),
                "snappy (block format) or zstd",
            )),
        }
    }

    fn decompress(
        &self,
        bytes: &[u8],
        max: usize,
        share: &mut Share,
    ) -> Result<Vec<u8>, Rejection> {
        if self.is_zstd { unzstd(bytes, max, share) } else { unsnap(bytes, max, share) }
    }
}

/// The media type and its `proto` parameter, as the sender wrote it.
fn parse_type(kind: &str) -> (&str, Option<&str>) {
    let mut parts = kind.split(';').map(str::trim);
    let media = parts.next().unwrap_or("");
    let mut parameters = parts.filter_map(|p| p.split_once('='));
    let proto = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
    (media, proto.map(|(_, value)| value.trim().trim_matches('"')))
}

/// What senders of 2.0 count as delivered. Without these headers they count everything as lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Written {
    samples: u64,
    histograms: u64,
    exemplars: u64,
}

async fn receive(State(intake): State<Intake>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut written = Written::default();
    let mut response = match write(&intake, &parts.headers, body, &mut written).await {
        Ok(faults) if faults.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(faults) => (StatusCode::BAD_REQUEST, format!("{faults}\n")).into_response(),
        Err(rejection) => {
            intake.metrics.reject(PROTOCOL, rejection.reason());
            refuse(&rejection)
        }
    };
    for (name, value) in [
        ("x-prometheus-remote-write-samples-written", written.samples),
        ("x-prometheus-remote-write-histograms-written", written.histograms),
        ("x-prometheus-remote-write-exemplars-written", written.exemplars),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    response
}

async fn write(
    intake: &Intake,
    headers: &HeaderMap,
    body: Body,
    written: &mut Written,
) -> Result<String, Rejection> {
    // Headers first: a body nobody can read is not worth reading.
    let dialect = Dialect::of(headers)?;
    let max = intake.config.body_bytes_max;
    let request = {
        let mut share = intake.admit()?;
        let bytes = collect(body, max, &mut share).await?;
        let bytes = dialect.decompress(&bytes, max, &mut share)?;
        let is_wanted = |metric: &str| intake.wanted.contains(metric);
        let limits = Limits::of(&intake.config);
        decode_knowing(&bytes, dialect.is_v2, is_wanted, &limits, &intake.known)?
    };
    accept(intake, request, dialect.is_v2, written).await
}

/// Hands on what is good; returns what was wrong in words, empty when nothing was.
/// What nobody wants counts as written, exemplars always: the sender has done its part.
async fn accept(
    intake: &Intake,
    request: WriteRequest,
    is_v2: bool,
    written: &mut Written,
) -> Result<String, Rejection> {
    let dropped = intake.series(request.series).await?;
    *written = Written {
        samples: request.samples.saturating_sub(dropped.samples),
        histograms: request.histograms.saturating_sub(dropped.histograms),
        exemplars: request.exemplars,
    };
    let mut dropped = dropped.all;
    intake.metrics.accept(PROTOCOL);
    intake.metrics.samples_ignored.inc_by(request.ignored);
    let drops = &intake.metrics.samples_dropped;
    let refused = [("invalid", request.invalid_samples), ("oversized", request.oversized_samples)];
    for (reason, count) in refused {
        drops.get_or_create(&DropLabels { reason }).inc_by(count);
    }
    // A sender of 1.0 that comes back after an outage replays its log: what is too old by then is
    // dropped and counted without a complaint, or its log would drown in errors. One of 2.0 is told to
    // the sample anyway, and must not read 204 next to less than it sent.
    if !is_v2 && dropped.late == dropped.count {
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
        Rejection::Overloaded(_)
        | Rejection::Crowded { .. }
        | Rejection::Short
        | Rejection::Incomplete(_) => StatusCode::SERVICE_UNAVAILABLE,
        Rejection::Malformed { .. } | Rejection::TooLarge { .. } => StatusCode::BAD_REQUEST,
    };
    let mut response = (code, format!("{rejection}\n")).into_response();
    if code == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_chosen_by_the_type_alone() {
        let of = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
            // A version that says the opposite changes nothing.
            let version = HeaderName::from_static("x-prometheus-remote-write-version");
            headers.insert(version, HeaderValue::from_static("2.0.0"));
            Dialect::of(&headers).map(|d| d.is_v2).map_err(|r| r.reason())
        };
        for v1 in [
            "application/x-protobuf",
            "Application/X-Protobuf; charset=utf-8",
            "application/x-protobuf;proto=prometheus.WriteRequest",
        ] {
            assert_eq!(of(v1), Ok(false), "{v1}");
        }
        for v2 in [
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "application/x-protobuf; Proto = \"io.prometheus.write.v2.Request\"",
        ] {
            assert_eq!(of(v2), Ok(true), "{v2}");
        }
        for other in ["application/x-protobuf;proto=", "text/plain;proto=prometheus.WriteRequest"] {
            assert_eq!(of(other), Err("unsupported"), "{other}");
        }
    }
}
