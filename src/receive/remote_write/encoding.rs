//! Undoing the compressions of remote write, within a limit.

use crate::receive::body::inflate;
use crate::receive::budget::Share;
use crate::receive::error::{BODY_KEY, Rejection};

/// Snappy block; the promised length is checked before anything is allocated.
pub(super) fn unsnap(bytes: &[u8], max: usize, share: &mut Share) -> Result<Vec<u8>, Rejection> {
    let fail = |e: snap::Error| Rejection::Malformed { what: "snappy block", why: e.to_string() };
    let length = snap::raw::decompress_len(bytes).map_err(fail)?;
    if length > max {
        return Err(Rejection::TooLarge { what: "decompressed body", key: BODY_KEY, max });
    }
    share.take(length)?;
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(fail)
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
pub(super) fn unzstd(bytes: &[u8], max: usize, share: &mut Share) -> Result<Vec<u8>, Rejection> {
    let fail = |why: String| Rejection::Malformed { what: "zstd frame", why };
    if window_of(bytes) > (max as u64).max(ZSTD_WINDOW) {
        return Err(Rejection::TooLarge { what: "zstd window", key: BODY_KEY, max });
    }
    let decoder =
        ruzstd::decoding::StreamingDecoder::new(bytes).map_err(|e| fail(e.to_string()))?;
    inflate(decoder, "zstd frame", max, share)
}
