//! What the tests share.

mod authority;
mod grafana;
pub(crate) mod helper;
pub(crate) mod kubernetes;
mod peers;
mod process;
mod raw;
mod reference;
mod sidecar;
mod tls;
mod traffic;

pub(crate) use authority::{Authority, Pair};
pub(crate) use grafana::{Grafana, TOKEN};
pub(crate) use peers::{Peer, free_address, has, missing_peer};
pub(crate) use process::{Process, sage};
pub(crate) use raw::{Answer, fixture, grpc, raw_http, request_bytes, send};
pub(crate) use reference::reference_write;
pub(crate) use sidecar::Sidecar;
pub(crate) use tls::TlsClient;
pub(crate) use traffic::{INTERVAL, Traffic, span};
