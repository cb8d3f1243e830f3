//! What a service is told at its start, as JSON on its standard input.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::lab::live::spec::{Kind, Service};

/// Where another service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What stands behind it.
    pub kind: Kind,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What a service needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Itself.
    pub service: Service,
    /// Its node, as metrics call it.
    pub node: String,
    /// Where spans go: OTLP over gRPC.
    pub otlp: SocketAddr,
    /// Whom it calls.
    pub places: BTreeMap<String, Place>,
    /// A directory for its files.
    pub dir: PathBuf,
}
