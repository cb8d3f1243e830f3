//! The one message of a unary gRPC call, each way: a flag, a length, the bytes.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

use crate::receive::body::gunzip;
use crate::receive::budget::Share;
use crate::receive::error::Rejection;

/// Flag and length.
pub(super) const HEAD_BYTES: usize = 5;

/// The message of a request's body, at most `max` bytes after decompression. `is_gzip` is what the
/// headers promise about messages that are flagged as compressed.
///
/// # Errors
/// [`Rejection::Malformed`], or as [`gunzip`].
pub(super) fn unframe(
    body: &Bytes,
    is_gzip: bool,
    max: usize,
    share: &mut Share,
) -> Result<Bytes, Rejection> {
    let fail = |why: &str| Rejection::Malformed { what: "gRPC frame", why: why.into() };
    let Some(([flag, length @ ..], rest)) = body.split_first_chunk::<HEAD_BYTES>() else {
        return Err(fail("no message"));
    };
    match rest.len().cmp(&(u32::from_be_bytes(*length) as usize)) {
        std::cmp::Ordering::Less => return Err(fail("the message is cut short")),
        std::cmp::Ordering::Greater => return Err(fail("more than one message in a unary call")),
        std::cmp::Ordering::Equal => {}
    }
    match (flag, is_gzip) {
        (0, _) => Ok(body.slice(HEAD_BYTES..)),
        (1, true) => gunzip(rest, max, share),
        (1, false) => Err(fail("compressed, but grpc-encoding does not say how")),
        _ => Err(fail("an unknown flag")),
    }
}

/// A message as the body of an answer.
pub(super) fn frame(message: &impl Message) -> Bytes {
    let mut body = BytesMut::with_capacity(HEAD_BYTES + message.encoded_len());
    body.put_u8(0);
    // Answers are some hundred bytes.
    body.put_u32(u32::try_from(message.encoded_len()).unwrap_or(0));
    message.encode_raw(&mut body);
    body.freeze()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use prometheus_client::metrics::gauge::Gauge;

    use super::*;
    use crate::receive::budget::Budget;

    const MAX: usize = 1000;

    fn read(body: &[u8], is_gzip: bool) -> Result<Bytes, Rejection> {
        let budget = Budget::new(1 << 20, Gauge::default());
        unframe(&Bytes::copy_from_slice(body), is_gzip, MAX, &mut budget.share())
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag][..], &length, message].concat()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_compressed_messages_come_out_and_others_are_refused() {
        assert_eq!(read(&framed(0, b"hello"), false).unwrap(), "hello");
        assert_eq!(read(&framed(0, b"hello"), true).unwrap(), "hello");
        assert_eq!(read(&framed(1, &gzip(b"hello")), true).unwrap(), "hello");
        for (body, is_gzip, part) in [
            (vec![], false, "no message"),
            (framed(0, b"hello")[..8].to_vec(), false, "cut short"),
            ([framed(0, b"a"), framed(0, b"b")].concat(), false, "more than one"),
            (framed(1, &gzip(b"hello")), false, "does not say how"),
            (framed(2, b"hello"), true, "unknown flag"),
            (framed(1, b"hello"), true, "gzip"),
            (framed(1, &gzip(&[0; 2 * MAX])), true, "body_bytes_max"),
        ] {
            let refused = read(&body, is_gzip).unwrap_err().to_string();
            assert!(refused.contains(part), "{refused:?} lacks {part:?}");
        }
    }
}
