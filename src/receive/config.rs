//! `[receive]`: limits on what senders may send.

use serde::{Deserialize, Serialize};

/// Limits on untrusted input. Every one has a counter on `/metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Largest request body, as sent and again after decompression.
    pub body_bytes_max: usize,
    /// Bytes that all requests together may hold while they are read.
    pub bytes_in_flight_max: usize,
    /// Spans and samples that may wait for the windows; beyond it senders are told to come again.
    pub queue_items_max: u32,
    /// Bytes that series which came before may take, so that they are known again by their bytes.
    pub known_bytes_max: usize,
    /// Labels a series may have.
    pub labels_max: usize,
    /// Bytes a label name or value, an operation or service name may have.
    pub name_bytes_max: usize,
    /// Wanted series a remote-write request may have.
    pub request_series_max: usize,
    /// Samples a series may have in one request.
    pub series_samples_max: usize,
    /// How far ahead of the wall clock a timestamp may lie, in seconds.
    pub future_seconds_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 << 20,
            bytes_in_flight_max: 256 << 20,
            queue_items_max: 1 << 20,
            known_bytes_max: 128 << 20,
            labels_max: 64,
            name_bytes_max: 4096,
            request_series_max: 1 << 18,
            series_samples_max: 10_000,
            future_seconds_max: 600,
        }
    }
}

impl Config {
    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        let mut at_least = |name: &str, value: u64, min: u64, default: u64| {
            if value < min {
                faults.push(format!(
                    "receive.{name} = {value}: must be at least {min} (default {default})"
                ));
            }
        };
        let d = Self::default();
        at_least("body_bytes_max", self.body_bytes_max as u64, 1 << 10, d.body_bytes_max as u64);
        // As sent and after decompression, which takes a step ahead.
        let both = (self.body_bytes_max as u64).saturating_mul(2).saturating_add(1 << 20);
        let in_flight = d.bytes_in_flight_max as u64;
        at_least("bytes_in_flight_max", self.bytes_in_flight_max as u64, both, in_flight);
        at_least("queue_items_max", self.queue_items_max.into(), 1000, d.queue_items_max.into());
        let known = d.known_bytes_max as u64;
        at_least("known_bytes_max", self.known_bytes_max as u64, 1 << 20, known);
        at_least("labels_max", self.labels_max as u64, 4, d.labels_max as u64);
        at_least("name_bytes_max", self.name_bytes_max as u64, 64, d.name_bytes_max as u64);
        let (series, samples) = (d.request_series_max as u64, d.series_samples_max as u64);
        at_least("request_series_max", self.request_series_max as u64, 100, series);
        at_least("series_samples_max", self.series_samples_max as u64, 1, samples);
    }
}
