//! Frames as JSON, a piece at a time: an answer takes the memory of one frame, however many it is of.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Weak};

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::data::Frame;

const HEAD: &[u8] = br#"{"status":"success","data":["#;
const TAIL: &[u8] = b"]}";
/// A piece is complete with the frame that makes it this long.
const PIECE_BYTES: usize = 64 << 10;

/// Frames that are still to be sent. Whoever reads slowly does not keep them in memory: what falls out of
/// history meanwhile is left out.
#[derive(Debug)]
struct Rest {
    frames: VecDeque<Weak<Frame>>,
    is_first: bool,
}

impl Rest {
    /// The next piece; empty when there is nothing more.
    fn piece(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < PIECE_BYTES {
            let Some(frame) = self.frames.pop_front() else { break };
            let Some(frame) = frame.upgrade() else { continue };
            if !std::mem::take(&mut self.is_first) {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, &*frame)?;
        }
        Ok(text)
    }
}

/// `{"status":"success","data":[…]}`, written as fast as it is read.
pub(super) fn frames_json(frames: &[Arc<Frame>]) -> Response {
    let frames = frames.iter().map(Arc::downgrade).collect();
    // One piece waits while the one before is on its way.
    let (tx, rx) = mpsc::channel(1);
    tokio::spawn(send(Rest { frames, is_first: true }, tx));
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, Body::from_stream(ReceiverStream::new(rx))).into_response()
}

/// Ends when everything is sent or nobody reads any more.
async fn send(mut rest: Rest, tx: mpsc::Sender<io::Result<Bytes>>) {
    if tx.send(Ok(Bytes::from_static(HEAD))).await.is_err() {
        return;
    }
    loop {
        // A piece is made when there is room for it, not before.
        let Ok(room) = tx.reserve().await else { return };
        // Frames of a large application are megabytes of text: not on a thread that others wait for.
        let work = move || {
            let piece = rest.piece();
            (piece, rest)
        };
        let Ok((piece, left)) = tokio::task::spawn_blocking(work).await else {
            room.send(Err(io::Error::other("making the answer failed")));
            return;
        };
        rest = left;
        match piece {
            Ok(text) if text.is_empty() => {
                room.send(Ok(Bytes::from_static(TAIL)));
                return;
            }
            Ok(text) => room.send(Ok(text.into())),
            Err(error) => {
                // The connection breaks: half an answer must not look like a whole one.
                room.send(Err(error));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::*;
    use crate::data::{EventTime, Interval, RpcKey, RpcKind, RpcWindow};

    fn frame(n: i64, rpcs: usize) -> Arc<Frame> {
        let rpc = |i: usize| RpcWindow {
            key: RpcKey::new("front", "page", "back", &format!("op-{i}")),
            kind: RpcKind::Paired,
            count: 1,
            failed: 0,
            seen_ratio: 1.0,
            client: Default::default(),
            server: Default::default(),
            request: Default::default(),
            response: Default::default(),
        };
        let interval = Interval { start: EventTime(n), end: EventTime(n + 1) };
        let rpcs = (0..rpcs).map(rpc).collect();
        Arc::new(Frame {
            interval,
            rpcs,
            services: Vec::new(),
            completeness: 1.0,
            replicas: vec![],
        })
    }

    #[tokio::test]
    async fn the_pieces_are_together_what_one_text_would_be() {
        // None, small ones that share a piece, large ones that do not.
        for sizes in [&[][..], &[0, 1, 2], &[1000, 0, 1000, 1000, 3]] {
            let frames: Vec<_> = sizes.iter().map(|rpcs| frame(*rpcs as i64, *rpcs)).collect();
            let body = frames_json(&frames).into_body().collect().await.unwrap().to_bytes();
            let whole: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(whole["status"], "success");
            let back: Vec<Frame> = serde_json::from_value(whole["data"].clone()).unwrap();
            assert!(back.iter().eq(frames.iter().map(|f| &**f)), "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn frames_that_history_has_given_up_are_not_kept_for_a_slow_reader() {
        let frames: Vec<_> = (0..9).map(|n| frame(n, 1000)).collect();
        let mut body = frames_json(&frames).into_body();
        let head = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let watched = Arc::downgrade(&frames[8]);
        drop(frames);
        assert!(watched.upgrade().is_none());
        let rest = body.collect().await.unwrap().to_bytes();
        let whole: Value = serde_json::from_slice(&[head, rest].concat()).unwrap();
        let sent = whole["data"].as_array().unwrap().len();
        assert!(sent <= 1, "{sent} frames, although one piece can have waited");
    }
}
