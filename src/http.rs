//! Bind, limits, time-outs and graceful stop for every listener; routing is the caller's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// Connections one listener serves at a time. More wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 1024;
/// Requests in flight on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// A client must begin to speak, and finish each request head, within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause before another look at a preface of which only a part has come.
const PREFACE_POLL: Duration = Duration::from_millis(10);
/// HTTP/2 pings, so that dead peers free their place.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long open connections may finish their requests after a stop.
const DRAIN: Duration = Duration::from_secs(3);

/// The port could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {name}: {source}; is another instance running?")]
pub struct BindError {
    /// Which listener.
    pub name: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

/// A bound port that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// [`BindError`] when the address is taken or not ours.
    pub async fn bind(name: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        let fail = |source| BindError { name, address, source };
        let tcp = TcpListener::bind(address).await.map_err(fail)?;
        let address = tcp.local_addr().map_err(fail)?;
        Ok(Self { name, tcp, address })
    }

    /// The address in use.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `stop` turns true, then lets open requests finish. Connections that are still
    /// open after the drain time are cut off, so that nothing of `router` lives on.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let (builder, service) = (connection_builder(), TowerToHyperService::new(router));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|s| *s) => break,
                accepted = accept(&self.tcp, &places) => accepted,
                // The set forgets a connection that has ended only when it is asked.
                Some(_) = connections.join_next() => continue,
            };
            let (stream, place) = match accepted {
                Ok(pair) => pair,
                Err(error) => {
                    // Out of descriptors or a peer that vanished: go on, but do not spin.
                    tracing::warn!(listener = self.name, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let connection = talk(stream, builder.clone(), service.clone(), stop.clone());
            connections.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended early");
                }
                drop(place);
            });
        }
        drop(self.tcp);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            let open = connections.len();
            tracing::warn!(
                listener = self.name,
                open,
                "connections are cut off after the drain time"
            );
            connections.shutdown().await;
        }
    }
}

async fn accept(
    tcp: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place =
        places.clone().acquire_owned().await.map_err(|e| std::io::Error::other(e.to_string()))?;
    let (stream, _) = tcp.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// One connection from its first byte to its last, or after the stop to the end of open requests.
async fn talk(
    stream: TcpStream,
    builder: auto::Builder<TokioExecutor>,
    service: TowerToHyperService<Router>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    tokio::select! {
        _ = stop.wait_for(|s| *s) => return Ok(()),
        greeted = greeting(&stream, HEADER_TIMEOUT) => greeted?,
    }
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return result,
        _ = stop.wait_for(|s| *s) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Waits until the client has said enough to tell HTTP/1 from HTTP/2. Only from then on hyper's own
/// time-outs hold; without this, clients that say nothing would keep their places for ever.
async fn greeting(stream: &TcpStream, patience: Duration) -> std::io::Result<()> {
    let mut first = [0; PREFACE.len()];
    let told = async {
        loop {
            let n = stream.peek(&mut first).await?;
            if n == 0 || n == PREFACE.len() || !PREFACE.starts_with(&first[..n]) {
                return Ok(());
            }
            // The rest makes no event as long as this part is not read.
            tokio::time::sleep(PREFACE_POLL).await;
        }
    };
    tokio::time::timeout(patience, told).await?
}

fn connection_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .adaptive_window(true);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn a_client_that_does_not_say_what_it_speaks_is_not_waited_for() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cases: [(&[u8], bool); 4] =
            [(b"", false), (b"PRI * HT", false), (b"P", false), (b"GET", true)];
        for (said, is_enough) in cases {
            let mut client = TcpStream::connect(tcp.local_addr().unwrap()).await.unwrap();
            let (server, _) = tcp.accept().await.unwrap();
            client.write_all(said).await.unwrap();
            let result = greeting(&server, Duration::from_millis(200)).await;
            assert_eq!(result.is_ok(), is_enough, "{said:?}: {result:?}");
        }
        let mut client = TcpStream::connect(tcp.local_addr().unwrap()).await.unwrap();
        let (server, _) = tcp.accept().await.unwrap();
        client.write_all(PREFACE).await.unwrap();
        greeting(&server, Duration::from_secs(60)).await.unwrap();
    }
}
