//! Spans as OTLP, samples as remote write 1.0.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use super::jaeger_json::Placed;
use super::plan::Range;
use crate::data::Series;
use crate::receive::remote_write_proto::{Sample, v1};

/// A body of OTLP/HTTP: spans of one process share a resource.
pub(super) fn export(spans: Vec<Placed>) -> Vec<u8> {
    let mut places: HashMap<*const (), usize> = HashMap::new();
    let mut groups = Vec::new();
    for placed in spans {
        let key = Arc::as_ptr(&placed.resource).cast();
        let place = *places.entry(key).or_insert_with(|| {
            groups.push((placed.resource.clone(), Vec::<Span>::new()));
            groups.len() - 1
        });
        groups[place].1.push(placed.span);
    }
    let groups = groups.into_iter().map(|(resource, spans)| ResourceSpans {
        resource: Some((*resource).clone()),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    });
    ExportTraceServiceRequest { resource_spans: groups.collect() }.encode_to_vec()
}

/// What of `series` lies in `range`, as bodies of at most `batch` samples (or one series), each with
/// the number of its samples.
pub(super) fn writes(series: &[Series], range: Range, batch: usize) -> Vec<(Vec<u8>, u64)> {
    let mut bodies = Vec::new();
    let (mut open, mut count) = (Vec::new(), 0);
    for one in series {
        let first = one.samples.partition_point(|s| s.time_ms < range.start);
        let end = one.samples.partition_point(|s| s.time_ms < range.end);
        let samples = &one.samples[first..end.max(first)];
        if samples.is_empty() {
            continue;
        }
        if count > 0 && count + samples.len() > batch {
            bodies.push((compress(std::mem::take(&mut open)), count as u64));
            count = 0;
        }
        count += samples.len();
        let label = |(n, v): (&str, &str)| v1::Label { name: n.into(), value: v.into() };
        let sample = |s: &crate::data::Sample| Sample { value: s.value, timestamp: s.time_ms };
        open.push(v1::TimeSeries {
            labels: one.labels.iter().map(label).collect(),
            samples: samples.iter().map(sample).collect(),
            exemplars: Vec::new(),
            histograms: Vec::new(),
        });
    }
    if count > 0 {
        bodies.push((compress(open), count as u64));
    }
    bodies
}

fn compress(timeseries: Vec<v1::TimeSeries>) -> Vec<u8> {
    let body = v1::WriteRequest { timeseries }.encode_to_vec();
    // Only bodies beyond 4 GiB cannot be compressed.
    snap::raw::Encoder::new().compress_vec(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Sample as Point;
    use crate::receive::{WriteLimits, decode_write_request, read_export};

    #[test]
    fn a_slice_of_series_is_what_the_sidecar_reads() {
        let series = |name: &str, times: &[i64]| Series {
            labels: vec![("__name__".into(), name.into())].into(),
            samples: times.iter().map(|t| Point { time_ms: *t, value: *t as f64 }).collect(),
            histograms: Vec::new(),
        };
        let all = [series("a", &[0, 10, 20, 30]), series("b", &[29]), series("c", &[30])];
        let bodies = writes(&all, Range { start: 10, end: 30 }, 2);
        let counts: Vec<u64> = bodies.iter().map(|b| b.1).collect();
        assert_eq!(counts, [2, 1]);
        let mut read = Vec::new();
        for (body, _) in bodies {
            let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
            let limits = WriteLimits::default();
            let request = decode_write_request(&plain, false, |_| true, &limits).unwrap();
            for one in request.series {
                let times: Vec<i64> = one.samples.iter().map(|s| s.time_ms).collect();
                read.push((one.label("__name__").unwrap().to_string(), times));
            }
        }
        assert_eq!(read, [("a".into(), vec![10, 20]), ("b".into(), vec![29])]);
    }

    #[test]
    fn spans_of_one_process_share_its_resource() {
        let json = br#"{"data":[{"traceID":"1","spans":[
            {"spanID":"a","operationName":"x","startTime":5000,"duration":9,"processID":"p"},
            {"spanID":"b","operationName":"y","startTime":5000,"duration":9,"processID":"q"},
            {"spanID":"c","operationName":"z","startTime":5000,"duration":9,"processID":"p"}],
            "processes":{"p":{"serviceName":"web"},"q":{"serviceName":"db"}}}]}"#;
        let (mut traces, _) = super::super::jaeger_json::traces(json).unwrap();
        let body = export(traces.remove(0).spans);
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        assert_eq!(request.resource_spans.len(), 2);
        let (spans, invalid) = read_export(&body, 100, 100).unwrap();
        let read: Vec<(&str, &str)> = spans.iter().map(|s| (&*s.service, &*s.op)).collect();
        assert_eq!((read, invalid), (vec![("web", "x"), ("web", "z"), ("db", "y")], 0));
    }
}
