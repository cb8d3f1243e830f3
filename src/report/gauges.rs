//! What alert rules and dashboards read: the latency behind every target, and open incidents.
//!
//! Read at the moment of a scrape, so that a series exists exactly as long as there is something to
//! say: no requests, no latency; no firing alert, no incident.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::watch;

use super::board::Board;
use crate::data::{Frame, QosTarget};

/// The newest closed frame.
pub(super) type Newest = dyn Fn() -> Option<Arc<Frame>> + Send + Sync;

/// Gauges that are computed when somebody looks.
pub struct Gauges {
    /// Diagnoses.
    pub board: Board,
    /// Configured targets.
    pub targets: watch::Receiver<Vec<QosTarget>>,
    /// The newest closed frame.
    pub newest: Arc<Newest>,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Gauges {
    fn qos(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let targets = self.targets.borrow().clone();
        let newest = (self.newest)();
        let labels =
            |t: &QosTarget| [("service", t.service.clone()), ("quantile", t.quantile.to_string())];
        let targets_s = targets.iter().map(|t| (labels(t), t.target_ms / 1000.0));
        put(encoder, "sage_qos_target_seconds", "Latency target", targets_s)?;
        let observed_s = targets
            .iter()
            .filter_map(|t| Some((labels(t), t.observed_ms(newest.as_deref()?)? / 1000.0)));
        let help = "Latency at the target's quantile in the newest closed interval";
        put(encoder, "sage_qos_latency_seconds", help, observed_s)
    }

    fn incidents(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let active: BTreeSet<[(&str, String); 3]> = self
            .board
            .firing()
            .iter()
            .flat_map(|d| {
                let service = d.qos.as_ref().map_or_else(String::new, |q| q.service.clone());
                d.root_causes.iter().map(move |cause| {
                    let resource = cause.resource.map_or_else(|| "none".into(), |r| r.to_string());
                    [
                        ("service", service.clone()),
                        ("root_cause_service", cause.service.clone()),
                        ("resource", resource),
                    ]
                })
            })
            .collect();
        let help = "1 while an alert fires whose root cause is known";
        put(encoder, "sage_incident_active", help, active.into_iter().map(|labels| (labels, 1.0)))
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.qos(&mut encoder)?;
        self.incidents(&mut encoder)
    }
}

fn put<'a, const N: usize>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    series: impl Iterator<Item = ([(&'a str, String); N], f64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
