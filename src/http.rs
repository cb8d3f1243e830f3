//! Bind, limits, time-outs and graceful stop for every listener; routing is the caller's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Connections one listener serves at a time. More wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 1024;
/// Requests in flight on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// A client must finish its request head within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
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

    /// Accepts until `stop` turns true, then lets open requests finish.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let builder = connection_builder();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|s| *s) => break,
                accepted = accept(&self.tcp, &places) => accepted,
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
            let service = TowerToHyperService::new(router.clone());
            let connection =
                builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended early");
                }
                drop(place);
            });
        }
        drop(self.tcp);
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!(listener = self.name, "connections still open after the drain time");
        }
    }
}

async fn accept(
    tcp: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place =
        places.clone().acquire_owned().await.map_err(|e| std::io::Error::other(e.to_string()))?;
    let (stream, _) = tcp.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
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
