//! Series as remote write 1.0.

use prost::Message as _;

use crate::data::Series;
use crate::receive::remote_write_proto::{Sample, v1};

/// A snappy-compressed body, as Prometheus sends it.
pub fn encode_write(series: &[Series]) -> Vec<u8> {
    let timeseries = series
        .iter()
        .map(|s| v1::TimeSeries {
            labels: s
                .labels
                .iter()
                .map(|(name, value)| v1::Label { name: name.to_string(), value: value.to_string() })
                .collect(),
            samples: s
                .samples
                .iter()
                .map(|p| Sample { value: p.value, timestamp: p.time_ms })
                .collect(),
            exemplars: Vec::new(),
            histograms: Vec::new(),
        })
        .collect();
    let body = v1::WriteRequest { timeseries }.encode_to_vec();
    // Only bodies beyond 4 GiB cannot be compressed.
    snap::raw::Encoder::new().compress_vec(&body).unwrap_or_default()
}
