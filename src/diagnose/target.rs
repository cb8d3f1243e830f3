//! Which QoS target an alert is about.
//!
//! From the alert itself, else from the configuration, else from what the latency was while no
//! alert fired.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::config::Config;
use crate::data::{Alert, Frame, QosTarget};
use crate::stats::quantile;

/// Where a target comes from that nobody set.
pub(super) const ASSUMED: &str = "assumed from history";
/// A latency this many robust deviations above the usual one violates an assumed target.
const ASSUMED_DEVIATIONS: f64 = 3.0;
/// And at least by this factor.
const ASSUMED_FACTOR: f64 = 1.25;
/// Quantile of an assumed target.
const ASSUMED_QUANTILE: f64 = 0.99;
/// Distance of the lower quartile from the median to standard deviation, for normal data.
const QUARTILE_TO_SIGMA: f64 = 1.4826;
/// Standard errors within which a normal value is in 19 of 20 cases, seen from one side.
const ONE_SIDED: f64 = 1.645;
/// Labels that name whatever was scraped, which need not be a service.
const VAGUE: [&str; 2] = ["app", "job"];
/// Frames an assumption rests on at least.
const FRAMES_MIN: usize = 10;

/// The target of `alert`. The second value says where it came from. `None` when nothing names a
/// service, or when nothing is known about it.
pub fn find_target(
    alert: &Alert,
    configured: &[QosTarget],
    history: &[Arc<Frame>],
    config: &Config,
) -> Option<(QosTarget, &'static str)> {
    let known = |name: &str| {
        configured.iter().any(|t| t.service == name)
            || history.iter().rev().take(100).any(|f| f.rpcs.iter().any(|r| &*r.key.callee == name))
    };
    // A label such as `job` may name the prober instead of a service: it counts only when known.
    let labels = || config.service_labels.iter();
    let service = labels().filter_map(|l| alert.text(l)).find(|s| known(s));
    let named = labels().filter(|l| !VAGUE.contains(&l.as_str())).find_map(|l| alert.text(l));
    let service = match (service.or(named), configured) {
        (Some(name), _) => name.to_string(),
        (None, [only]) => only.service.clone(),
        (None, _) => busiest_entry(history)?,
    };
    // A template may yield anything, `+Inf` included.
    let number = |name: &str| {
        alert.text(name).and_then(|v| v.trim().parse::<f64>().ok()).filter(|v| v.is_finite())
    };
    let quantile = number("sage_quantile")
        .map(|q| if q > 1.0 { q / 100.0 } else { q })
        .filter(|q| *q > 0.0 && *q < 1.0);
    if let Some(target_ms) = number("sage_target_ms").filter(|t| *t > 0.0) {
        let quantile = quantile.unwrap_or(ASSUMED_QUANTILE);
        return Some((QosTarget { service, quantile, target_ms }, "alert"));
    }
    let of_service = |t: &&QosTarget| {
        t.service == service && quantile.is_none_or(|q| (q - t.quantile).abs() < 1e-6)
    };
    if let Some(target) = configured.iter().find(of_service) {
        return Some((target.clone(), "configuration"));
    }
    let quantile = quantile.unwrap_or(ASSUMED_QUANTILE);
    let frames: Vec<&Frame> = history.iter().map(|f| &**f).collect();
    assumed_target(&service, quantile, &frames).map(|t| (t, ASSUMED))
}

/// What the latency of `service` usually stays below, over all of `frames`: robust against the
/// minority of frames in which something was wrong.
pub fn assumed_target(service: &str, quantile: f64, frames: &[&Frame]) -> Option<QosTarget> {
    usually_below(service, quantile, frames, (ASSUMED_DEVIATIONS, ASSUMED_FACTOR))
}

/// What the latency of `service` stays below in 19 of 20 calm `frames`.
pub(super) fn mostly_below(service: &str, quantile: f64, frames: &[&Frame]) -> Option<QosTarget> {
    usually_below(service, quantile, frames, (ONE_SIDED, 1.0))
}

/// The median of `frames`, and so many robust deviations above it, or the factor where that is more.
fn usually_below(
    service: &str,
    quantile: f64,
    frames: &[&Frame],
    (deviations, factor): (f64, f64),
) -> Option<QosTarget> {
    let probe = QosTarget { service: service.into(), quantile, target_ms: f64::INFINITY };
    let logs: Vec<f64> = frames.iter().filter_map(|f| probe.observed_ms(f)).map(f64::ln).collect();
    if logs.len() < FRAMES_MIN {
        return None;
    }
    // Trouble only makes latency larger, so the lower half tells how much it varies in peace.
    let (middle, low) = (quantile_of(&logs, 0.5)?, quantile_of(&logs, 0.25)?);
    let slack = (deviations * (middle - low) * QUARTILE_TO_SIGMA).max(factor.ln());
    Some(QosTarget { target_ms: (middle + slack).exp(), ..probe })
}

fn quantile_of(values: &[f64], q: f64) -> Option<f64> {
    quantile(values.iter().copied(), q)
}

/// Whether the requests in `frame` are too few to tell that it meets `target`: what is traced is a sample, and
/// whoever saw all of them may have seen it missed. `None` without requests.
///
/// Of `n` requests the share above the quantile has the standard error sqrt(q (1 - q) / n), so -ln(1 - q) has
/// sqrt(q / (1 - q) / n).
pub(super) fn may_miss(frame: &Frame, target: &QosTarget) -> Option<bool> {
    let n: u64 = frame.entry_rpcs(&target.service).into_iter().map(|w| w.count).sum();
    let q = target.quantile;
    let error = (q / (1.0 - q) / n.max(1) as f64).sqrt();
    let quantile = 1.0 - (1.0 - q) * (-ONE_SIDED * error).exp();
    QosTarget { quantile, ..target.clone() }.is_violated(frame)
}

/// Whether `frame` meets all targets. Frames without requests of a service do not violate its
/// target.
pub fn met(frame: &Frame, targets: &[QosTarget]) -> bool {
    targets.iter().all(|t| t.is_violated(frame) != Some(true))
}

/// Whether QoS was met in each of `frames`. Without configured targets, entry services are held to
/// what their latency usually is.
pub fn met_all(frames: &[&Frame], configured: &[QosTarget]) -> Vec<bool> {
    let targets = if configured.is_empty() {
        let entries: BTreeSet<&str> = frames.iter().flat_map(|f| f.entry_services()).collect();
        entries.iter().filter_map(|s| assumed_target(s, ASSUMED_QUANTILE, frames)).collect()
    } else {
        configured.to_vec()
    };
    // A target that is missed most of the time says nothing about what is normal.
    let is_usual = |target: &&QosTarget| {
        let judged: Vec<bool> = frames.iter().filter_map(|f| target.is_violated(f)).collect();
        2 * judged.iter().filter(|violated| **violated).count() <= judged.len()
    };
    let targets: Vec<QosTarget> = targets.iter().filter(is_usual).cloned().collect();
    frames.iter().map(|f| met(f, &targets)).collect()
}

/// The service that receives most requests from outside.
fn busiest_entry(history: &[Arc<Frame>]) -> Option<String> {
    let newest = history.iter().rev().find(|f| !f.rpcs.is_empty())?;
    let entries = newest.rpcs.iter().filter(|r| r.key.is_entry());
    entries.max_by_key(|r| r.count).map(|r| r.key.callee.to_string())
}
