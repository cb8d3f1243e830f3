//! Refuses applications that make no sense, so that nothing behind this door needs to wonder.
//!
//! In: an [`AppSpec`]. Out: the first fault found. Absent on purpose: cycles and size, which
//! [`nominal`](super::nominal) finds while it walks the calls.

use std::ops::RangeInclusive;

use super::error::SpecError;
use super::spec::{AppSpec, CallSpec, ServiceSpec, Step};

const MICROSECONDS: RangeInclusive<f64> = 0.0..=1e9;
const SHARE: RangeInclusive<f64> = 0.0..=1.0;
const CV: RangeInclusive<f64> = 0.0..=100.0;

pub(super) fn check(spec: &AppSpec) -> Result<(), SpecError> {
    let app = &spec.name;
    within(app, "base_rate", spec.base_rate, 0.0..=1e6)?;
    within(app, "qos_quantile", spec.qos_quantile, 0.001..=0.999_99)?;
    within(app, "nodes", spec.nodes as f64, 1.0..=1e5)?;
    within(app, "network_us", spec.network_us, MICROSECONDS)?;
    for entry in &spec.entries {
        within(app, "weight of an entry", entry.weight, 0.0..=1e9)?;
        callee(spec, app, entry.service, entry.op)?;
    }
    if !spec.entries.iter().any(|e| e.weight > 0.0) {
        return Err(SpecError::NoEntry { app: app.clone() });
    }
    spec.services.iter().try_for_each(|s| check_service(spec, s))
}

fn check_service(spec: &AppSpec, service: &ServiceSpec) -> Result<(), SpecError> {
    let name = &service.name;
    within(name, "replicas", service.replicas as f64, 1.0..=1e4)?;
    within(name, "cores", service.cores as f64, 1.0..=1e3)?;
    within(name, "threads", service.threads as f64, 1.0..=1e6)?;
    let (base, limit) = (service.memory_bytes as f64, service.memory_limit_bytes as f64);
    within(name, "memory_limit_bytes", limit, base..=1e15)?;
    for op in &service.ops {
        let place = format!("{name} {}", op.name);
        op.steps.iter().try_for_each(|step| check_step(spec, &place, step))?;
    }
    Ok(())
}

fn check_step(spec: &AppSpec, place: &str, step: &Step) -> Result<(), SpecError> {
    match step {
        Step::Cpu { mean_us, cv } => {
            within(place, "mean_us", *mean_us, MICROSECONDS)?;
            within(place, "cv", *cv, CV)
        }
        Step::Disk { mean_us, cv, probability } => {
            within(place, "mean_us", *mean_us, MICROSECONDS)?;
            within(place, "cv", *cv, CV)?;
            within(place, "probability", *probability, SHARE)
        }
        Step::Call(_) | Step::Parallel(_) | Step::Publish(_) => {
            step.calls().iter().try_for_each(|call| check_call(spec, place, call))
        }
    }
}

fn check_call(spec: &AppSpec, place: &str, call: &CallSpec) -> Result<(), SpecError> {
    within(place, "probability", call.probability, SHARE)?;
    callee(spec, place, call.service, call.op)
}

fn callee(spec: &AppSpec, place: &str, service: usize, op: usize) -> Result<(), SpecError> {
    match spec.services.get(service).and_then(|s| s.ops.get(op)) {
        Some(_) => Ok(()),
        None => Err(SpecError::UnknownCallee { place: place.into(), service, op }),
    }
}

fn within(
    place: &str,
    what: &'static str,
    value: f64,
    range: RangeInclusive<f64>,
) -> Result<(), SpecError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(SpecError::OutOfRange { place: place.into(), what, value })
}
