//! What a service is told at its start, as JSON on its standard input.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::lab::live::spec::{Kind, Service};

/// Where another service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lab::live) struct Place {
    /// What stands behind it.
    pub(in crate::lab::live) kind: Kind,
    /// Where it listens.
    pub(in crate::lab::live) address: SocketAddr,
}

/// What a service needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::lab::live) struct Orders {
    /// Itself.
    pub(in crate::lab::live) service: Service,
    /// Its node, as metrics call it.
    pub(in crate::lab::live) node: String,
    /// At which address it listens; the port is any.
    pub(in crate::lab::live) listen: IpAddr,
    /// Where spans go: OTLP over gRPC.
    pub(in crate::lab::live) otlp: SocketAddr,
    /// Whom it calls.
    pub(in crate::lab::live) places: BTreeMap<String, Place>,
    /// A directory for its files.
    pub(in crate::lab::live) dir: PathBuf,
}
