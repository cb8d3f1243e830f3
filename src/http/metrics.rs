//! Counters of connections and of those who were not let in.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::observe::Registry;

/// `listener`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Of {
    listener: &'static str,
}

/// `listener` and `reason`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Because {
    listener: &'static str,
    reason: &'static str,
}

/// Listeners, for initialising counters to zero.
const LISTENERS: [&str; 3] = ["http", "otlp_grpc", "otlp_http"];

/// What came to the ports, and what was turned away there.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    open: Family<Of, Gauge>,
    accepted: Family<Of, Counter>,
    closed: Family<Because, Counter>,
    handshakes_failed: Family<Because, Counter>,
    unauthorized: Family<Because, Counter>,
    reloads_failed: Counter,
}

impl Metrics {
    /// Creates the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        for listener in LISTENERS {
            drop(m.open.get_or_create(&Of { listener }));
            drop(m.accepted.get_or_create(&Of { listener }));
            for (family, reasons) in [
                (&m.closed, &["full", "silent", "idle"][..]),
                (&m.handshakes_failed, &["timeout", "not_tls", "client_certificate", "failed"]),
                (&m.unauthorized, &["missing", "wrong", "role"]),
            ] {
                for reason in reasons {
                    drop(family.get_or_create(&Because { listener, reason }));
                }
            }
        }
        let r = registry.sub_registry_with_prefix("sage_listen");
        r.register("connections_open", "Open connections", m.open.clone());
        r.register("connections", "Connections accepted", m.accepted.clone());
        r.register("connections_closed", "Connections closed by Sage", m.closed.clone());
        r.register("handshakes_failed", "TLS handshakes that failed", m.handshakes_failed.clone());
        r.register(
            "unauthorized",
            "Requests without the credential they need",
            m.unauthorized.clone(),
        );
        r.register(
            "reloads_failed",
            "Times certificates or credentials could not be read again",
            m.reloads_failed.clone(),
        );
        m
    }

    /// A connection that is open until the guard is dropped.
    pub(super) fn open(&self, listener: &'static str) -> Open {
        let gauge = self.open.get_or_create(&Of { listener }).clone();
        self.accepted.get_or_create(&Of { listener }).inc();
        gauge.inc();
        Open(gauge)
    }

    pub(super) fn close(&self, listener: &'static str, reason: &'static str) {
        self.closed.get_or_create(&Because { listener, reason }).inc();
    }

    pub(super) fn handshake_failed(&self, listener: &'static str, reason: &'static str) {
        self.handshakes_failed.get_or_create(&Because { listener, reason }).inc();
    }

    pub(super) fn unauthorized(&self, listener: &'static str, reason: &'static str) {
        self.unauthorized.get_or_create(&Because { listener, reason }).inc();
    }

    pub(super) fn reload_failed(&self) {
        self.reloads_failed.inc();
    }
}

/// An open connection, as the gauge counts it.
#[derive(Debug)]
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
