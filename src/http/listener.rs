//! A port: bound early, served until the stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::config::Limits;
use super::connection::Host;
use super::error::BindError;
use super::metrics::Metrics;
use super::security::Security;
use super::tls::handshake_places;

/// How long open connections may finish their requests after a stop.
const DRAIN: Duration = Duration::from_secs(3);

/// A bound port that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    address: SocketAddr,
    limits: Limits,
    security: Security,
    metrics: Metrics,
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
        let (limits, security) = (Limits::default(), Security::default());
        Ok(Self { name, tcp, address, limits, security, metrics: Metrics::default() })
    }

    /// The address in use.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same with limits and TLS of the operator's.
    pub fn with(self, limits: Limits, security: &Security, metrics: &Metrics) -> Self {
        security.warn_if_exposed(self.name, self.address);
        Self { limits, security: security.clone(), metrics: metrics.clone(), ..self }
    }

    /// Accepts until `stop` turns true, then lets open requests finish. Connections that are still
    /// open after the drain time are cut off, so that nothing of `router` lives on.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let host = Host {
            listener: self.name,
            router,
            limits: self.limits,
            tls: self.security.tls(),
            handshakes: handshake_places(),
            metrics: self.metrics.clone(),
            stop: stop.clone(),
        };
        let places = Arc::new(Semaphore::new(self.limits.connections_max));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|s| *s) => break,
                accepted = accept(&self.tcp) => accepted,
                // The set forgets a connection that has ended only when it is asked.
                Some(_) = connections.join_next() => continue,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of descriptors or a peer that vanished: go on, but do not spin.
                    tracing::warn!(listener = self.name, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                // Its sender comes again at once or, better, later; waiting would tell it nothing.
                self.metrics.close(self.name, "full");
                continue;
            };
            let (open, connection) = (self.metrics.open(self.name), host.clone().talk(stream));
            connections.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended early");
                }
                drop((open, place));
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

async fn accept(tcp: &TcpListener) -> std::io::Result<TcpStream> {
    let (stream, _) = tcp.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
