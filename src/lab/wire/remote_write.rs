//! Series as remote write 1.0 and 2.0.

use std::collections::HashMap;

use prost::Message as _;

use crate::data::{Histogram, ResetHint, Series};
use crate::receive::remote_write_proto::{self as proto, BucketSpan, Count, Sample, v1, v2};

/// The schema of a native histogram whose bounds are the sender's own.
const CUSTOM: i32 = -53;

/// A snappy-compressed body, as Prometheus sends it.
pub fn encode_write(series: &[Series]) -> Vec<u8> {
    // Only bodies beyond 4 GiB cannot be compressed.
    snap::raw::Encoder::new().compress_vec(&write_request(series)).unwrap_or_default()
}

/// A message of remote write 1.0, not compressed.
pub fn write_request(series: &[Series]) -> Vec<u8> {
    let one = |s: &Series| v1::TimeSeries {
        labels: s
            .labels
            .iter()
            .map(|(name, value)| v1::Label { name: name.to_string(), value: value.to_string() })
            .collect(),
        samples: samples(s),
        exemplars: Vec::new(),
        histograms: s.histograms.iter().map(native).collect(),
    };
    v1::WriteRequest { timeseries: series.iter().map(one).collect() }.encode_to_vec()
}

/// A message of remote write 2.0, not compressed.
pub fn write_request_2(series: &[Series]) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut places = HashMap::new();
    let mut refer = |text: &str| {
        if let Some(place) = places.get(text) {
            return *place;
        }
        let place = u32::try_from(symbols.len()).unwrap_or(u32::MAX);
        symbols.push(text.to_string());
        places.insert(text.to_string(), place);
        place
    };
    let mut timeseries = Vec::with_capacity(series.len());
    for s in series {
        timeseries.push(v2::TimeSeries {
            labels_refs: s.labels.iter().flat_map(|(n, v)| [refer(n), refer(v)]).collect(),
            samples: samples(s),
            histograms: s.histograms.iter().map(native).collect(),
            exemplars: Vec::new(),
        });
    }
    v2::Request { symbols, timeseries }.encode_to_vec()
}

fn samples(series: &Series) -> Vec<Sample> {
    series.samples.iter().map(|p| Sample { value: p.value, timestamp: p.time_ms }).collect()
}

/// A native histogram with float counts and bounds of its own.
fn native(histogram: &Histogram) -> proto::Histogram {
    let Histogram { time_ms, count, sum, buckets, reset } = histogram;
    let finite = buckets.iter().filter(|(bound, _)| bound.is_finite());
    let length = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
    proto::Histogram {
        count: Some(Count::Float(*count)),
        sum: *sum,
        schema: CUSTOM,
        positive_spans: vec![BucketSpan { offset: 0, length }],
        positive_counts: buckets.iter().map(|(_, count)| *count).collect(),
        reset_hint: match reset {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::Continued => 2,
            ResetHint::Gauge => 3,
        },
        timestamp: *time_ms,
        custom_values: finite.map(|(bound, _)| *bound).collect(),
        ..proto::Histogram::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::{WriteLimits, decode_write_request};

    #[test]
    fn native_histograms_arrive_as_they_were_sent() {
        let histogram = Histogram {
            time_ms: 1_000,
            count: 6.0,
            sum: 7.5,
            buckets: vec![(0.5, 1.0), (1.0, 3.0), (4.0, 0.0), (f64::INFINITY, 2.0)],
            reset: ResetHint::Continued,
        };
        let series = Series {
            labels: vec![("__name__".into(), "m".into())].into(),
            histograms: vec![histogram.clone()],
            ..Series::default()
        };
        let body = snap::raw::Decoder::new().decompress_vec(&encode_write(&[series])).unwrap();
        let limits = WriteLimits::default();
        let request = decode_write_request(&body, false, |_| true, &limits).unwrap();
        assert_eq!(request.faults, [] as [String; 0]);
        assert_eq!(request.series[0].histograms, [histogram]);
    }
}
