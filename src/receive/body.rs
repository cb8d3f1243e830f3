//! Collecting a request body within limits, and undoing its compression.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::budget::Share;
use super::error::{BODY_KEY, Rejection};

/// A body must be complete within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What an inflated body may grow by at a time, at first and later.
const STEP_BYTES: [usize; 2] = [16 << 10, 1 << 20];

/// Reads a body of at most `max` bytes, which count against `share`.
///
/// # Errors
/// [`Rejection::TooLarge`], [`Rejection::Crowded`], or [`Rejection::Incomplete`] when the sender stops
/// half-way.
pub(super) async fn collect(body: Body, max: usize, share: &mut Share) -> Result<Bytes, Rejection> {
    match tokio::time::timeout(BODY_TIMEOUT, read(body, max, share)).await {
        Err(_) => Err(Rejection::Incomplete(format!("no end after {} s", BODY_TIMEOUT.as_secs()))),
        Ok(result) => result,
    }
}

async fn read(mut body: Body, max: usize, share: &mut Share) -> Result<Bytes, Rejection> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Rejection::Incomplete(e.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > max - whole.len() {
            return Err(Rejection::TooLarge { what: "body", key: BODY_KEY, max });
        }
        share.take(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Inflates gzip to at most `max` bytes, which count against `share`.
///
/// # Errors
/// As [`inflate`].
pub(super) fn gunzip(bytes: &[u8], max: usize, share: &mut Share) -> Result<Bytes, Rejection> {
    inflate(flate2::read::MultiGzDecoder::new(bytes), "gzip", max, share).map(Bytes::from)
}

/// Reads what a decompressor gives, at most `max` bytes, which count against `share`.
///
/// # Errors
/// [`Rejection::TooLarge`] for a bomb, [`Rejection::Malformed`] for what the decompressor does not take,
/// [`Rejection::Crowded`].
pub(super) fn inflate(
    mut from: impl Read,
    what: &'static str,
    max: usize,
    share: &mut Share,
) -> Result<Vec<u8>, Rejection> {
    let mut out = Vec::new();
    let [mut step, most] = STEP_BYTES;
    loop {
        share.take(step)?;
        let read = from.by_ref().take(step as u64).read_to_end(&mut out);
        let read = read.map_err(|e| Rejection::Malformed { what, why: e.to_string() })?;
        if out.len() > max {
            return Err(Rejection::TooLarge { what: "decompressed body", key: BODY_KEY, max });
        }
        if read < step {
            return Ok(out);
        }
        step = (2 * step).min(most);
    }
}
