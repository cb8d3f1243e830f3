//! Samples to send: series as cAdvisor has them, one sample each a request.

use super::bodies::{Bodies, STAMP_MARK_MS, VALUE_MARK};
use super::target::Protocol;
use crate::data::{Name, Sample, Series};
use crate::lab::wire::{write_request, write_request_2};

/// Metrics of a container that the built-in feature table reads.
const METRICS: [&str; 10] = [
    "container_cpu_usage_seconds_total",
    "container_cpu_cfs_throttled_periods_total",
    "container_cpu_cfs_periods_total",
    "container_pressure_cpu_waiting_seconds_total",
    "container_memory_working_set_bytes",
    "container_memory_failcnt",
    "container_fs_io_time_seconds_total",
    "container_fs_reads_bytes_total",
    "container_network_receive_bytes_total",
    "container_network_transmit_bytes_total",
];
/// Containers of one service.
const REPLICAS: usize = 3;
/// Series of one service.
pub(super) const SERVICE_SERIES: usize = REPLICAS * METRICS.len();

/// Requests of `per_request` samples of `series` different series; services are called after `prefix`.
pub fn sample_bodies(
    protocol: Protocol,
    prefix: &str,
    series: usize,
    per_request: usize,
) -> Bodies {
    let encoded = (0..series).step_by(per_request.max(1)).map(|first| {
        let last = (first + per_request.max(1)).min(series);
        let batch: Vec<Series> = (first..last).map(|n| one(prefix, n)).collect();
        let bytes = match protocol {
            Protocol::RemoteWrite2 => write_request_2(&batch),
            _ => write_request(&batch),
        };
        (bytes, batch.len() as u64)
    });
    Bodies::new(encoded.collect(), 0)
}

fn one(prefix: &str, n: usize) -> Series {
    let (container, metric) = (n / METRICS.len(), METRICS[n % METRICS.len()]);
    let service: Name = format!("{prefix}-{}", container / REPLICAS).into();
    let node = container / REPLICAS % 20;
    let labels: Vec<(Name, Name)> = vec![
        ("__name__".into(), metric.into()),
        ("container".into(), service.clone()),
        ("id".into(), format!("/kubepods/burstable/pod{container:08x}").into()),
        ("instance".into(), format!("10.0.0.{node}:10250").into()),
        ("job".into(), "kubelet".into()),
        ("namespace".into(), "shop".into()),
        ("node".into(), format!("node-{node}").into()),
        ("pod".into(), format!("{service}-{}", container % REPLICAS).into()),
    ];
    let sample = Sample { time_ms: STAMP_MARK_MS, value: f64::from_bits(VALUE_MARK) };
    Series { labels: labels.into(), samples: vec![sample].into(), ..Series::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::{WriteLimits, decode_write_request};

    #[test]
    fn both_dialects_say_the_same_and_counters_grow_from_round_to_round() {
        let now_ms = 1_785_578_400_123;
        let read = |protocol, n| {
            let bodies = sample_bodies(protocol, "svc", 250, 100);
            assert_eq!(bodies.cycle_items(), 250);
            let body = bodies.body(n, 5, now_ms * 1_000_000).bytes;
            let is_v2 = protocol == Protocol::RemoteWrite2;
            let limits = WriteLimits::default();
            decode_write_request(&body, is_v2, |_| true, &limits).unwrap()
        };
        let (old, new) = (read(Protocol::RemoteWrite1, 5), read(Protocol::RemoteWrite2, 5));
        assert_eq!(old.series.len(), 50);
        assert_eq!(old.faults, [] as [String; 0]);
        let flat = |s: &Series| (s.labels.clone(), s.samples[0].time_ms, s.samples[0].value);
        let (old, new): (Vec<_>, Vec<_>) =
            (old.series.iter().map(flat).collect(), new.series.iter().map(flat).collect());
        assert_eq!(old, new);
        assert!(old.iter().all(|(_, t, v)| *t == now_ms as i64 && *v == 1.0));
    }
}
