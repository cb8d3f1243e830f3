//! `ExportTraceServiceRequest` -> [`Span`]s.

use std::collections::HashMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, span::SpanKind, status::StatusCode};

use crate::data::{Half, Name, Peer, PeerKind, Span};

/// Attributes that name the replica, best first. They join spans with cAdvisor's series.
const REPLICA: [&str; 5] =
    ["k8s.pod.name", "service.instance.id", "container.name", "container.id", "host.name"];
/// Attributes that name the host, best first.
const NODE: [&str; 2] = ["k8s.node.name", "host.name"];
/// Attributes that name a peer, best first: new and old semantic conventions.
const PEER: [&str; 8] = [
    "peer.service",
    "service.peer.name",
    "server.address",
    "net.peer.name",
    "network.peer.address",
    "net.peer.ip",
    "db.namespace",
    "db.name",
];
/// Attributes that make the peer a database; the last two name it when nothing else does.
const DATABASE: [&str; 4] = ["db.namespace", "db.name", "db.system.name", "db.system"];
/// The same for message brokers.
const BROKER: [&str; 3] =
    ["messaging.destination.name", "messaging.destination", "messaging.system"];

/// Turns a request into spans. Returns them with the number of spans that are not valid OTLP
/// (wrong id length, zero id, no start or end).
pub fn decode_export(request: ExportTraceServiceRequest, name_max: usize) -> (Vec<Span>, u64) {
    let mut names = Names { seen: HashMap::new(), max: name_max };
    let mut spans = Vec::new();
    let mut invalid = 0;
    for resource_spans in request.resource_spans {
        let origin = Origin::of(resource_spans.resource.as_ref(), &mut names);
        for span in resource_spans.scope_spans.into_iter().flat_map(|s| s.spans) {
            match decode_span(&span, &origin, &mut names) {
                Some(span) => spans.push(span),
                None => invalid += 1,
            }
        }
    }
    (spans, invalid)
}

/// Names of one request, each stored once.
struct Names {
    seen: HashMap<String, Name>,
    max: usize,
}

impl Names {
    fn get(&mut self, text: &str) -> Name {
        let mut end = text.len().min(self.max);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        if let Some(name) = self.seen.get(text) {
            return name.clone();
        }
        let name: Name = text.into();
        self.seen.insert(text.to_string(), name.clone());
        name
    }
}

/// What the resource says about all of its spans.
struct Origin {
    service: Name,
    replica: Name,
    node: Name,
}

impl Origin {
    fn of(resource: Option<&Resource>, names: &mut Names) -> Self {
        let attributes = resource.map_or(&[][..], |r| &r.attributes);
        let mut first = |keys: &[&str]| {
            let found = keys.iter().find_map(|k| text_of(attributes, k));
            found.map(|t| names.get(&t))
        };
        Self {
            service: first(&["service.name"]).unwrap_or_else(|| "unknown_service".into()),
            replica: first(&REPLICA).unwrap_or_default(),
            node: first(&NODE).unwrap_or_default(),
        }
    }
}

fn decode_span(span: &OtlpSpan, origin: &Origin, names: &mut Names) -> Option<Span> {
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
    })
}

fn peer_of(attributes: &[KeyValue], names: &mut Names) -> Option<Peer> {
    let first = |keys: &[&str]| keys.iter().find_map(|k| text_of(attributes, k));
    let database = first(&DATABASE);
    let kind = if database.is_some() { PeerKind::Database } else { PeerKind::Service };
    let name = first(&PEER).or(database).or_else(|| first(&BROKER))?;
    Some(Peer { name: names.get(&name), kind })
}

/// The value of a non-empty string attribute.
fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let (spans, invalid) = decode_export(request(vec![], client_span(attributes)), 64);
            let peer = spans[0].peer.clone().unwrap();
            assert_eq!((&*peer.name, peer.kind, invalid), ("mongo", PeerKind::Database, 0));
        }
        let only_system = client_span(vec![attribute("db.system.name", "redis")]);
        let (spans, _) = decode_export(request(vec![], only_system), 64);
        assert_eq!(&*spans[0].peer.as_ref().unwrap().name, "redis");
    }

    #[test]
    fn the_pod_is_the_replica_and_its_host_the_node() {
        let resource = vec![
            attribute("service.name", "cart"),
            attribute("host.name", "n1"),
            attribute("k8s.pod.name", "cart-0"),
        ];
        let (spans, _) = decode_export(request(resource, client_span(vec![])), 64);
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
            assert_eq!(decode_export(request(vec![], span), 64), (vec![], 1));
        }
    }

    #[test]
    fn names_are_cut_at_the_limit_without_splitting_a_character() {
        let span = OtlpSpan { name: "abcdé".into(), ..client_span(vec![]) };
        let (spans, _) = decode_export(request(vec![], span), 5);
        assert_eq!(&*spans[0].op, "abcd");
    }
}
