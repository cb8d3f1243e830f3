//! One connection from its first byte to its last.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use super::config::Limits;
use super::metrics::Metrics;
use super::tls::Identity;

/// A client must begin to speak, and finish each request head, within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// HTTP/2 pings, so that dead peers free their place.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long the answer to such a ping may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of the headers of one request.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// What a connection of HTTP/1 reads ahead at most, and what it collects before it writes; headers must fit.
const HTTP1_BUFFER_BYTES: usize = HEADER_BYTES_MAX as usize;
/// What a client of HTTP/2 may send before it is read, of one request and of all on a connection. A window that
/// grows with the distance, as hyper has one, goes up to 16 MiB.
const HTTP2_WINDOW_BYTES: [u32; 2] = [256 << 10, 512 << 10];

/// What ends a connection early, if it is worth a word.
type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What all connections of a listener share; cheap to clone.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) listener: &'static str,
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) tls: Option<Arc<Identity>>,
    pub(super) handshakes: Arc<Semaphore>,
    pub(super) metrics: Metrics,
    pub(super) stop: watch::Receiver<bool>,
}

impl Host {
    /// Serves one client, after the stop to the end of its open requests.
    pub(super) async fn talk(mut self, stream: TcpStream) -> Ended {
        let mut stop = self.stop.clone();
        let Some(identity) = self.tls.take() else { return self.converse(stream).await };
        let shaken = tokio::select! {
            _ = stop.wait_for(|s| *s) => return Ok(()),
            shaken = identity.shake_hands(stream, &self.handshakes) => shaken,
        };
        match shaken {
            Ok(Some(stream)) => self.converse(stream).await,
            Ok(None) => Ok(()),
            Err((reason, why)) => {
                self.metrics.handshake_failed(self.listener, reason);
                Err(format!("TLS handshake: {why}").into())
            }
        }
    }

    async fn converse<S>(mut self, stream: S) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let greeted = tokio::select! {
            _ = self.stop.wait_for(|s| *s) => return Ok(()),
            greeted = greeting(stream, HEADER_TIMEOUT) => greeted,
        };
        let stream = greeted.inspect_err(|e| {
            if e.kind() == io::ErrorKind::TimedOut {
                self.metrics.close(self.listener, "silent");
            }
        })?;
        let requests = Arc::new(Requests::default());
        let (counted, router) = (requests.clone(), TowerToHyperService::new(self.router));
        let service = service_fn(move |request| {
            let (counted, answer) = (counted.clone(), router.call(request));
            counted.begin();
            async move {
                let answer = answer.await;
                counted.end();
                answer
            }
        });
        let builder = builder(&self.limits);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return result,
            _ = self.stop.wait_for(|s| *s) => {}
            () = requests.cease(self.limits.idle_timeout) => {
                self.metrics.close(self.listener, "idle");
            }
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }
}

/// Requests of one connection.
#[derive(Default)]
struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Requests {
    fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns once none is open and none has come for at least `timeout`, at most twice that.
    async fn cease(&self, timeout: Duration) {
        let mut before = None;
        loop {
            tokio::time::sleep(timeout).await;
            let (ended, begun) =
                (self.ended.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed));
            if begun == ended && before == Some(begun) {
                return;
            }
            before = Some(begun);
        }
    }
}

/// Waits until the client has said enough to tell HTTP/1 from HTTP/2. Only from then on hyper's own
/// time-outs hold; without this, clients that say nothing would keep their places for ever.
async fn greeting<S: AsyncRead + Unpin>(
    mut stream: S,
    patience: Duration,
) -> io::Result<Greeted<S>> {
    let (mut said, mut len) = ([0; PREFACE.len()], 0);
    let telling = async {
        loop {
            let n = stream.read(&mut said[len..]).await?;
            len += n;
            if n == 0 || len == PREFACE.len() || !PREFACE.starts_with(&said[..len]) {
                return Ok(());
            }
        }
    };
    let told: io::Result<()> = tokio::time::timeout(patience, telling).await?;
    told?;
    Ok(Greeted { said, given: 0, len, stream })
}

/// A stream whose first bytes have been looked at already.
struct Greeted<S> {
    said: [u8; PREFACE.len()],
    given: usize,
    len: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.len - self.given;
        if left == 0 {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let n = left.min(buffer.remaining());
        buffer.put_slice(&self.said[self.given..self.given + n]);
        self.given += n;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    let [of_request, of_connection] = HTTP2_WINDOW_BYTES;
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(of_request)
        .initial_connection_window_size(of_connection);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn a_client_that_does_not_say_what_it_speaks_is_not_waited_for() {
        let cases: [(&[u8], bool); 4] =
            [(b"", false), (b"PRI * HT", false), (b"P", false), (b"GET", true)];
        for (said, is_enough) in cases {
            let (mut client, server) = tokio::io::duplex(64);
            client.write_all(said).await.unwrap();
            let result = greeting(server, Duration::from_millis(200)).await.map(|g| g.len);
            assert_eq!(result.is_ok(), is_enough, "{said:?}: {result:?}");
        }
    }

    #[tokio::test]
    async fn what_was_looked_at_is_read_all_the_same() {
        let (mut client, server) = tokio::io::duplex(256);
        client.write_all(&PREFACE[..10]).await.unwrap();
        let greeted = tokio::spawn(greeting(server, Duration::from_secs(60)));
        client.write_all(&PREFACE[10..]).await.unwrap();
        client.write_all(b"and more").await.unwrap();
        drop(client);
        let (mut stream, mut read) = (greeted.await.unwrap().unwrap(), Vec::new());
        let (mut first, mut all) = ([0; 5], PREFACE.to_vec());
        stream.read_exact(&mut first).await.unwrap();
        stream.read_to_end(&mut read).await.unwrap();
        all.extend_from_slice(b"and more");
        assert_eq!([&first[..], &read].concat(), all);
    }

    #[tokio::test]
    async fn a_connection_is_idle_only_without_open_and_without_new_requests() {
        let requests = Requests::default();
        let short = Duration::from_millis(1);
        requests.begin();
        let open = tokio::time::timeout(short * 50, requests.cease(short)).await;
        assert!(open.is_err(), "a request is open");
        requests.end();
        requests.cease(short).await;
    }
}
