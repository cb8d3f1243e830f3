//! Spans on their way to the sidecar: collected, and sent a few times a second.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::data::Span;
use crate::lab::wire::SpanSender;

/// Spans that may wait. When the sidecar is away, what is beyond is dropped, as an SDK would.
const WAITING_MAX: usize = 8192;
/// Spans of one request.
const BATCH: usize = 512;
/// How long spans wait for others.
const LINGER: Duration = Duration::from_millis(250);

/// Where spans are handed in.
#[derive(Clone)]
pub(super) struct Spans(mpsc::Sender<Span>);

impl Spans {
    /// Starts the task that sends them; call it in a runtime.
    pub(super) fn start(sidecar: SocketAddr) -> Self {
        let (tx, rx) = mpsc::channel(WAITING_MAX);
        tokio::spawn(send_all(rx, sidecar));
        Self(tx)
    }

    pub(super) fn put(&self, span: Span) {
        // A span that finds no room is lost; the request it tells of must not wait for it.
        drop(self.0.try_send(span));
    }
}

async fn send_all(mut spans: mpsc::Receiver<Span>, sidecar: SocketAddr) {
    let mut sender: Option<SpanSender> = None;
    let mut batch = Vec::with_capacity(BATCH);
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        if sender.is_none() {
            sender = SpanSender::connect(sidecar).await.ok();
        }
        if let Some(open) = &mut sender
            && open.send(&batch).await.is_err()
        {
            sender = None;
        }
        batch.clear();
        tokio::time::sleep(LINGER).await;
    }
}
