//! Jaeger's JSON -> OTLP spans.
//!
//! In: an answer of `/api/traces`. Out: traces, every span with the resource of its process. The rules are
//! those by which the OpenTelemetry Collector reads Jaeger. Absent on purpose: logs, warnings and links,
//! which nobody reads.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};
use serde::Deserialize;
use serde_json::Value as Json;

/// Tags of one span or process that are read.
const TAGS_MAX: usize = 128;

/// A trace, with the spans that make sense.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub(super) id: u128,
    pub(super) spans: Vec<Placed>,
}

/// A span and the process it comes from.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// When it ended, in milliseconds of event time.
    pub(super) end_ms: i64,
    pub(super) resource: Arc<Resource>,
    pub(super) span: Span,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Option<Vec<Fault>>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    msg: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TraceJson {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(default)]
    spans: Vec<SpanJson>,
    #[serde(default)]
    processes: HashMap<String, Process>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson {
    #[serde(rename = "traceID", default)]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    #[serde(rename = "parentSpanID", default)]
    parent_span_id: String,
    #[serde(default)]
    operation_name: String,
    #[serde(default)]
    references: Option<Vec<Reference>>,
    /// Microseconds.
    start_time: u64,
    /// Microseconds.
    duration: u64,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
    #[serde(rename = "processID", default)]
    process_id: String,
    #[serde(default)]
    process: Option<Process>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(default)]
    ref_type: String,
    #[serde(rename = "traceID", default)]
    trace_id: String,
    #[serde(rename = "spanID", default)]
    span_id: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    value: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
}

/// `data` of an answer, or Jaeger's complaint.
fn open<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<Option<T>, String> {
    let envelope: Envelope<T> =
        serde_json::from_slice(body).map_err(|e| format!("not JSON of Jaeger: {e}"))?;
    match envelope.errors.as_deref() {
        Some([first, ..]) => Err(format!("Jaeger says: {}", first.msg)),
        _ => Ok(envelope.data),
    }
}

/// Names of an answer of `/api/services`.
pub(super) fn services(body: &[u8]) -> Result<Vec<String>, String> {
    Ok(open(body)?.unwrap_or_default())
}

/// Traces of an answer of `/api/traces`, and the number of spans that make no sense.
pub(super) fn traces(body: &[u8]) -> Result<(Vec<Trace>, u64), String> {
    let traces: Vec<TraceJson> = open(body)?.unwrap_or_default();
    let mut invalid = 0;
    let traces = traces.into_iter().filter_map(|t| trace(t, &mut invalid)).collect();
    Ok((traces, invalid))
}

fn trace(json: TraceJson, invalid: &mut u64) -> Option<Trace> {
    let Some(id) = hex(&json.trace_id) else {
        *invalid += json.spans.len() as u64;
        return None;
    };
    let processes: HashMap<String, Arc<Resource>> =
        json.processes.into_iter().map(|(id, p)| (id, Arc::new(resource(p)))).collect();
    let mut spans = Vec::with_capacity(json.spans.len());
    for mut span in json.spans {
        let own = span.process.take().map(|p| Arc::new(resource(p)));
        let resource = own.or_else(|| processes.get(&span.process_id).cloned());
        match resource.and_then(|resource| place(span, id, resource)) {
            Some(placed) => spans.push(placed),
            None => *invalid += 1,
        }
    }
    Some(Trace { id, spans })
}

fn place(json: SpanJson, trace: u128, resource: Arc<Resource>) -> Option<Placed> {
    let id = u64::try_from(hex(&json.span_id)?).ok()?;
    let start = json.start_time.checked_mul(1000)?;
    let end = start.checked_add(json.duration.checked_mul(1000)?)?;
    if json.start_time == 0 || (!json.trace_id.is_empty() && hex(&json.trace_id) != Some(trace)) {
        return None;
    }
    let parent = parent(&json, trace);
    let tags = json.tags.unwrap_or_default();
    let text = |key: &str| tags.iter().find(|t| t.key == key).map(|t| &t.value);
    let span = Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: parent.map(|p| p.to_be_bytes().to_vec()).unwrap_or_default(),
        kind: kind(text("span.kind").and_then(Json::as_str)) as i32,
        status: is_failed(text("error"), text("otel.status_code"))
            .then(|| Status { code: StatusCode::Error as i32, ..Status::default() }),
        trace_state: text("w3c.tracestate").and_then(Json::as_str).unwrap_or_default().into(),
        name: json.operation_name,
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: attributes(tags),
        ..Span::default()
    };
    Some(Placed { end_ms: i64::try_from(end / 1_000_000).ok()?, resource, span })
}

/// The first `CHILD_OF` in this trace, else what it follows from, else the field of old versions.
fn parent(json: &SpanJson, trace: u128) -> Option<u64> {
    let id = |text: &str| hex(text).and_then(|id| u64::try_from(id).ok());
    let references = json.references.as_deref().unwrap_or_default();
    let of = |kind: &str| {
        let is_meant = |r: &&Reference| r.ref_type == kind && hex(&r.trace_id) == Some(trace);
        references.iter().find(is_meant).and_then(|r| id(&r.span_id))
    };
    of("CHILD_OF").or_else(|| of("FOLLOWS_FROM")).or_else(|| id(&json.parent_span_id))
}

fn kind(tag: Option<&str>) -> SpanKind {
    match tag {
        Some("client") => SpanKind::Client,
        Some("server") => SpanKind::Server,
        Some("producer") => SpanKind::Producer,
        Some("consumer") => SpanKind::Consumer,
        Some("internal") => SpanKind::Internal,
        _ => SpanKind::Unspecified,
    }
}

fn is_failed(error: Option<&Json>, status: Option<&Json>) -> bool {
    let is_error = |v: &Json| v.as_bool() == Some(true) || v.as_str() == Some("true");
    error.is_some_and(is_error) || status.and_then(Json::as_str) == Some("ERROR")
}

fn resource(process: Process) -> Resource {
    let name = Value::StringValue(process.service_name);
    let mut all = vec![attribute("service.name".into(), name)];
    all.extend(attributes(process.tags.unwrap_or_default()));
    Resource { attributes: all, ..Resource::default() }
}

fn attributes(tags: Vec<Tag>) -> Vec<KeyValue> {
    let known = tags.into_iter().filter(|t| t.key != "span.kind").take(TAGS_MAX);
    known.filter_map(|t| Some(attribute(t.key, value(&t.kind, t.value)?))).collect()
}

/// Numbers come as JSON numbers or, beyond what JavaScript can hold, as text.
fn value(kind: &str, json: Json) -> Option<Value> {
    Some(match (kind, json) {
        ("int64", Json::String(text)) => Value::IntValue(text.parse().ok()?),
        ("float64", Json::String(text)) => Value::DoubleValue(text.parse().ok()?),
        ("bool", Json::String(text)) => Value::BoolValue(text.parse().ok()?),
        // Bytes as base64: nothing reads them.
        ("binary", _) => return None,
        (_, Json::String(text)) => Value::StringValue(text),
        (_, Json::Bool(is)) => Value::BoolValue(is),
        ("float64", Json::Number(n)) => Value::DoubleValue(n.as_f64()?),
        (_, Json::Number(n)) => match n.as_i64() {
            Some(int) => Value::IntValue(int),
            None => Value::DoubleValue(n.as_f64()?),
        },
        _ => return None,
    })
}

fn attribute(key: String, value: Value) -> KeyValue {
    KeyValue { key, value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// An id of up to 32 hexadecimal digits, leading zeros or not; zero is none.
fn hex(text: &str) -> Option<u128> {
    let is_hex =
        !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().filter(|id| *id != 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The form of a UI answer, with what all versions of Jaeger put in.
    fn answer() -> Json {
        json!({
            "data": [{
                "traceID": "3c8ac9fb0a1b2c3d0000000000000abc",
                "spans": [
                    {
                        "traceID": "3c8ac9fb0a1b2c3d0000000000000abc", "spanID": "00000000000000a1",
                        "flags": 1, "operationName": "HTTP GET /dispatch", "references": [],
                        "startTime": 1_700_000_000_000_000_u64, "duration": 730_000,
                        "tags": [
                            {"key": "span.kind", "type": "string", "value": "server"},
                            {"key": "http.status_code", "type": "int64", "value": 500},
                            {"key": "error", "type": "bool", "value": true},
                            {"key": "big", "type": "int64", "value": "9007199254740993"},
                            {"key": "share", "type": "float64", "value": 1},
                            {"key": "raw", "type": "binary", "value": "AAE="}
                        ],
                        "logs": [{"timestamp": 1_700_000_000_000_001_u64, "fields": []}],
                        "processID": "p1", "warnings": null
                    },
                    {
                        "traceID": "3c8ac9fb0a1b2c3d0000000000000abc", "spanID": "b2",
                        "operationName": "find", "startTime": 1_700_000_000_010_000_u64, "duration": 20,
                        "references": [
                            {"refType": "FOLLOWS_FROM", "traceID": "3c8ac9fb0a1b2c3d0000000000000abc", "spanID": "c3"},
                            {"refType": "CHILD_OF", "traceID": "77", "spanID": "d4"},
                            {"refType": "CHILD_OF", "traceID": "3c8ac9fb0a1b2c3d0000000000000abc", "spanID": "a1"}
                        ],
                        "tags": [{"key": "span.kind", "type": "string", "value": "client"}],
                        "processID": "p2", "warnings": ["clock skew"]
                    },
                    {"traceID": "3c8ac9fb0a1b2c3d0000000000000abc", "spanID": "zz", "operationName": "",
                     "startTime": 1, "duration": 1, "processID": "p1"},
                    {"traceID": "3c8ac9fb0a1b2c3d0000000000000abc", "spanID": "e5", "operationName": "",
                     "startTime": 1, "duration": 1, "processID": "nobody"}
                ],
                "processes": {
                    "p1": {"serviceName": "frontend", "tags": [
                        {"key": "k8s.pod.name", "type": "string", "value": "frontend-0"}]},
                    "p2": {"serviceName": "driver", "tags": null}
                },
                "warnings": null
            }],
            "total": 0, "limit": 0, "offset": 0, "errors": null
        })
    }

    fn values(attributes: &[KeyValue]) -> Vec<(&str, &Value)> {
        attributes
            .iter()
            .map(|a| (a.key.as_str(), a.value.as_ref().unwrap().value.as_ref().unwrap()))
            .collect()
    }

    #[test]
    fn a_trace_keeps_ids_times_kinds_and_processes() {
        let (traces, invalid) = traces(answer().to_string().as_bytes()).unwrap();
        assert_eq!((traces.len(), traces[0].spans.len(), invalid), (1, 2, 2));
        let root = &traces[0].spans[0];
        assert_eq!(root.span.trace_id, traces[0].id.to_be_bytes());
        assert_eq!(root.span.span_id, 0xa1_u64.to_be_bytes());
        assert!(root.span.parent_span_id.is_empty());
        assert_eq!(
            (root.span.kind, &*root.span.name),
            (SpanKind::Server as i32, "HTTP GET /dispatch")
        );
        assert_eq!(root.span.start_time_unix_nano, 1_700_000_000_000_000_000);
        assert_eq!(root.span.end_time_unix_nano, 1_700_000_000_730_000_000);
        assert_eq!(root.end_ms, 1_700_000_000_730);
        assert_eq!(root.span.status.as_ref().unwrap().code, StatusCode::Error as i32);
        let want = [
            ("http.status_code", &Value::IntValue(500)),
            ("error", &Value::BoolValue(true)),
            ("big", &Value::IntValue(9_007_199_254_740_993)),
            ("share", &Value::DoubleValue(1.0)),
        ];
        assert_eq!(values(&root.span.attributes), want);
        let want = [
            ("service.name", &Value::StringValue("frontend".into())),
            ("k8s.pod.name", &Value::StringValue("frontend-0".into())),
        ];
        assert_eq!(values(&root.resource.attributes), want);
    }

    #[test]
    fn the_parent_is_the_child_of_reference_within_the_trace() {
        let (traces, _) = traces(answer().to_string().as_bytes()).unwrap();
        let child = &traces[0].spans[1];
        assert_eq!(child.span.parent_span_id, 0xa1_u64.to_be_bytes());
        assert_eq!((child.span.kind, &child.span.status), (SpanKind::Client as i32, &None));
        let mut json = answer();
        let references = &mut json["data"][0]["spans"][1]["references"];
        references.as_array_mut().unwrap().pop();
        let (only_follows, _) = super::traces(json.to_string().as_bytes()).unwrap();
        assert_eq!(only_follows[0].spans[1].span.parent_span_id, 0xc3_u64.to_be_bytes());
        json["data"][0]["spans"][1]["references"] = json!(null);
        json["data"][0]["spans"][1]["parentSpanID"] = json!("f6");
        let (old, _) = super::traces(json.to_string().as_bytes()).unwrap();
        assert_eq!(old[0].spans[1].span.parent_span_id, 0xf6_u64.to_be_bytes());
    }

    #[test]
    fn a_complaint_of_jaeger_is_passed_on() {
        let body = br#"{"data": null, "errors": [{"code": 400, "msg": "parameter 'service' is required"}]}"#;
        assert!(traces(body).unwrap_err().contains("parameter 'service' is required"));
        assert!(traces(b"<html>").unwrap_err().contains("not JSON"));
        assert_eq!(services(br#"{"data":["a","b"],"total":2,"errors":null}"#).unwrap(), ["a", "b"]);
        assert!(services(br#"{"data":null,"total":0,"errors":null}"#).unwrap().is_empty());
    }
}
