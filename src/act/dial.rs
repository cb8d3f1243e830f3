//! A connection to a helper: the socket of this node, or TLS to another one.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::nodes::{Helper, Tls};

/// Whatever bytes go through, both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A connection.
pub(super) type Pipe = Box<dyn Duplex>;

/// Connects. Certificates are read each time, so that exchanged ones count at once.
///
/// # Errors
/// What is in the way, in words.
pub(super) async fn dial(helper: &Helper, tls: Option<&Tls>) -> Result<Pipe, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", helper.shown());
    if let Some(socket) = &helper.socket {
        return Ok(Box::new(UnixStream::connect(socket).await.map_err(fail)?));
    }
    let (Some(address), Some(tls)) = (&helper.address, tls.cloned()) else {
        return Err("neither a socket nor an address with [act.tls] is configured for it".into());
    };
    let name = helper.certified_name()?;
    let read = tokio::task::spawn_blocking(move || tls.read()).await;
    let config = read.unwrap_or_else(|e| Err(e.to_string())).map_err(|e| format!("act.{e}"))?;
    let tcp = TcpStream::connect(address).await.map_err(fail)?;
    tcp.set_nodelay(true).map_err(fail)?;
    let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(fail)?;
    Ok(Box::new(stream))
}
