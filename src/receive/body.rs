//! Collecting a request body within limits, and undoing its gzip.

use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::error::{BODY_KEY, Rejection};

/// A body must be complete within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body of at most `max` bytes.
///
/// # Errors
/// [`Rejection::TooLarge`], or [`Rejection::Incomplete`] when the sender stops half-way.
pub(super) async fn collect(body: Body, max: usize) -> Result<Bytes, Rejection> {
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, max).collect()).await {
        Err(_) => Err(Rejection::Incomplete(format!("no end after {} s", BODY_TIMEOUT.as_secs()))),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            Err(Rejection::TooLarge { what: "body", key: BODY_KEY, max })
        }
        Ok(Err(e)) => Err(Rejection::Incomplete(e.to_string())),
    }
}

/// Inflates gzip to at most `max` bytes.
///
/// # Errors
/// [`Rejection::TooLarge`] for a bomb, [`Rejection::Malformed`] for anything that is not gzip.
pub(super) fn gunzip(bytes: &[u8], max: usize) -> Result<Bytes, Rejection> {
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(4).min(max));
    flate2::read::MultiGzDecoder::new(bytes)
        .take(max as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|e| Rejection::Malformed { what: "gzip", why: e.to_string() })?;
    if out.len() > max {
        return Err(Rejection::TooLarge { what: "decompressed body", key: BODY_KEY, max });
    }
    Ok(out.into())
}
