//! `ExportTraceServiceRequest` of the generated types -> [`Span`]s: the way of OTLP/JSON, and what protobuf
//! that is read in place is compared with.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, span::SpanKind, status::StatusCode};

use super::attributes::{OF_CLIENT, OF_RESOURCE, peer, place};
use super::names::Names;
use super::origin::Origin;
use super::tracestate::weight;
use crate::data::{Half, Peer, Span};

/// Turns a request into spans. Returns them with the number of spans that are not valid OTLP
/// (wrong id length, zero id, no start or end). Names are cut at `name_max` bytes.
pub fn decode_export(request: &ExportTraceServiceRequest, name_max: usize) -> (Vec<Span>, u64) {
    let mut names = Names::new(name_max);
    let mut spans = Vec::new();
    let mut invalid = 0;
    for resource_spans in &request.resource_spans {
        let origin = origin_of(resource_spans.resource.as_ref(), &mut names);
        for span in resource_spans.scope_spans.iter().flat_map(|s| &s.spans) {
            match decode_span(span, &origin, &mut names) {
                Some(span) => spans.push(span),
                None => invalid += 1,
            }
        }
    }
    (spans, invalid)
}

fn origin_of<'a>(resource: Option<&'a Resource>, names: &mut Names<'a>) -> Origin {
    let attributes = resource.map_or(&[][..], |r| &r.attributes);
    Origin::new(place(|k| text_of(attributes, OF_RESOURCE[k])), names)
}

fn decode_span<'a>(span: &'a OtlpSpan, origin: &Origin, names: &mut Names<'a>) -> Option<Span> {
    let trace = u128::from_be_bytes(span.trace_id.as_slice().try_into().ok()?);
    let id = u64::from_be_bytes(span.span_id.as_slice().try_into().ok()?);
    let parent = match span.parent_span_id.as_slice() {
        [] => 0,
        bytes => u64::from_be_bytes(bytes.try_into().ok()?),
    };
    let has_times = span.start_time_unix_nano > 0 && span.end_time_unix_nano > 0;
    let latest = span.start_time_unix_nano.max(span.end_time_unix_nano);
    if trace == 0 || id == 0 || !has_times || i64::try_from(latest).is_err() {
        return None;
    }
    let half = match span.kind() {
        SpanKind::Server => Half::Server,
        SpanKind::Client => Half::Client,
        SpanKind::Producer => Half::Producer,
        SpanKind::Consumer => Half::Consumer,
        SpanKind::Internal | SpanKind::Unspecified => Half::Internal,
    };
    let peer = match half {
        Half::Client | Half::Producer => peer_of(&span.attributes, names),
        _ => None,
    };
    Some(Span {
        trace,
        id,
        parent,
        half,
        start_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano,
        service: origin.service.clone(),
        replica: origin.replica.clone(),
        node: origin.node.clone(),
        op: names.get(&span.name),
        peer,
        failed: span.status.as_ref().is_some_and(|s| s.code() == StatusCode::Error),
        weight: weight(&span.trace_state),
    })
}

fn peer_of<'a>(attributes: &'a [KeyValue], names: &mut Names<'a>) -> Option<Peer> {
    let (name, kind) = peer(|k| text_of(attributes, OF_CLIENT[k]))?;
    Some(Peer { name: names.get(name), kind })
}

/// The value of a non-empty string attribute.
fn text_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::PeerKind;
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    fn attribute(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: Some(AnyValue { value: Some(Value::StringValue(value.into())) }),
            ..Default::default()
        }
    }

    fn request(resource: Vec<KeyValue>, span: OtlpSpan) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes: resource, ..Default::default() }),
                scope_spans: vec![ScopeSpans { spans: vec![span], ..Default::default() }],
                ..Default::default()
            }],
        }
    }

    fn client_span(attributes: Vec<KeyValue>) -> OtlpSpan {
        OtlpSpan {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: "find".into(),
            kind: SpanKind::Client as i32,
            start_time_unix_nano: 1,
            end_time_unix_nano: 2,
            attributes,
            ..Default::default()
        }
    }

    #[test]
    fn a_database_client_names_its_peer_by_old_and_new_conventions() {
        for (key, value) in [("peer.service", "mongo"), ("server.address", "mongo")] {
            let attributes = vec![attribute("db.system", "mongodb"), attribute(key, value)];
            let (spans, invalid) = decode_export(&request(vec![], client_span(attributes)), 64);
            let peer = spans[0].peer.clone().unwrap();
            assert_eq!((&*peer.name, peer.kind, invalid), ("mongo", PeerKind::Database, 0));
        }
        let only_system = client_span(vec![attribute("db.system.name", "redis")]);
        let (spans, _) = decode_export(&request(vec![], only_system), 64);
        assert_eq!(&*spans[0].peer.as_ref().unwrap().name, "redis");
    }

    #[test]
    fn the_pod_is_the_replica_and_its_host_the_node() {
        let resource = vec![
            attribute("service.name", "cart"),
            attribute("host.name", "n1"),
            attribute("k8s.pod.name", "cart-0"),
        ];
        let (spans, _) = decode_export(&request(resource, client_span(vec![])), 64);
        let s = &spans[0];
        assert_eq!((&*s.service, &*s.replica, &*s.node), ("cart", "cart-0", "n1"));
    }

    #[test]
    fn spans_without_proper_ids_or_end_are_counted_as_invalid() {
        let broken = [
            OtlpSpan { trace_id: vec![1; 8], ..client_span(vec![]) },
            OtlpSpan { trace_id: vec![0; 16], ..client_span(vec![]) },
            OtlpSpan { span_id: vec![], ..client_span(vec![]) },
            OtlpSpan { parent_span_id: vec![1; 3], ..client_span(vec![]) },
            OtlpSpan { end_time_unix_nano: 0, ..client_span(vec![]) },
        ];
        for span in broken {
            assert_eq!(decode_export(&request(vec![], span), 64), (vec![], 1));
        }
    }

    #[test]
    fn a_threshold_in_the_trace_state_says_how_many_requests_a_span_stands_for() {
        for (state, weight) in [("ot=th:c", Some(4.0)), ("", None), ("ot=th:nonsense", None)] {
            let span = OtlpSpan { trace_state: state.into(), ..client_span(vec![]) };
            let (spans, _) = decode_export(&request(vec![], span), 64);
            assert_eq!(spans[0].weight, weight, "{state:?}");
        }
    }

    #[test]
    fn names_are_cut_at_the_limit_without_splitting_a_character() {
        let span = OtlpSpan { name: "abcdé".into(), ..client_span(vec![]) };
        let (spans, _) = decode_export(&request(vec![], span), 5);
        assert_eq!(&*spans[0].op, "abcd");
    }
}
