//! OTLP traces.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, span::Event,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message as _;
use sage::receive::{decode_export, read_export};

use super::damage::{damage, damages, fixed};
use crate::support::fixture;

const NAME_MAX: usize = 12;
const ITEMS_MAX: u32 = 1 << 20;

const CAPTURES: [&str; 16] = [
    "envoy-grpc.pb",
    "go-caddy-grpc.pb",
    "go-prometheus-3.5.3-grpc.pb",
    "node-grpc-checkout.pb",
    "node-grpc-frontend.pb",
    "node-grpc-inventory.pb",
    "python-grpc-checkout.pb",
    "python-grpc-frontend.pb",
    "python-grpc-inventory.pb",
    "rotel-grpc.pb",
    "go-caddy-http-caddy.body",
    "node-http-proto-checkout.body",
    "node-http-proto-frontend.body",
    "python-http-checkout.body",
    "python-http-frontend.body",
    "python-http-inventory.body",
];

/// Both decoders on the same bytes; whether each took them.
fn compare(bytes: &[u8], name_max: usize) -> (bool, bool) {
    let ours = read_export(bytes, name_max, ITEMS_MAX);
    let theirs = ExportTraceServiceRequest::decode(bytes).map(|r| decode_export(&r, name_max));
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (Err(ours), Ok(_)) => {
            // The one thing that is refused although protobuf allows it.
            assert!(ours.to_string().contains("a group"), "refused: {ours}");
        }
        // What is skipped unread may hold anything.
        (_, Err(_)) => {}
    }
    (ours.is_ok(), theirs.is_ok())
}

#[test]
fn captures_are_read_the_same_whole_and_cut_anywhere() {
    for name in CAPTURES {
        let bytes = fixture(&format!("otlp/{name}"));
        assert_eq!(compare(&bytes, 4096), (true, true), "{name}");
        let (spans, invalid) = read_export(&bytes, 4096, ITEMS_MAX).unwrap();
        assert!(!spans.is_empty() && invalid == 0, "{name}");
        for end in 0..bytes.len() {
            let (ours, theirs) = compare(&bytes[..end], 4096);
            assert_eq!(ours, theirs, "{name} cut after {end} bytes");
        }
    }
}

#[test]
fn empty_messages_by_the_million_are_refused() {
    let empty = [0x0a, 0x00].repeat(16 * 1000 + 1);
    let refused = read_export(&empty, NAME_MAX, 1000).unwrap_err();
    assert_eq!(refused.reason(), "too_large");
    assert!(read_export(&empty[2..], NAME_MAX, 1000).is_ok());
}

fn any_key() -> impl Strategy<Value = String> {
    let keys = [
        "",
        "service.name",
        "k8s.pod.name",
        "host.name",
        "container.id",
        "k8s.node.name",
        "peer.service",
        "server.address",
        "net.peer.ip",
        "db.name",
        "db.system",
        "db.system.name",
        "messaging.destination",
        "messaging.system",
        "peer.servicf",
        "another",
    ];
    select(keys.to_vec()).prop_map(str::to_string)
}

fn any_value() -> impl Strategy<Value = Option<AnyValue>> {
    let text = select(vec!["", "cart", "mongo", "zé", "beyond the limit", "beyond theé"]);
    let value = prop_oneof![
        4 => text.prop_map(|t| Some(Value::StringValue(t.into()))),
        1 => any::<i64>().prop_map(|n| Some(Value::IntValue(n))),
        1 => Just(Some(Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: None }] }))),
        1 => Just(None),
    ];
    prop_oneof![9 => value.prop_map(|value| Some(AnyValue { value })), 1 => Just(None)]
}

fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let one = (any_key(), any_value());
    let one = one.prop_map(|(key, value)| KeyValue { key, value, ..Default::default() });
    prop::collection::vec(one, 0..5)
}

/// Ids of the right length, mostly.
fn any_id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![9 => Just(bytes), 1 => Just(0), 1 => 0..20_usize];
    (length, prop_oneof![4 => 1..255_u8, 1 => Just(0)]).prop_map(|(n, byte)| vec![byte; n])
}

fn any_span() -> impl Strategy<Value = OtlpSpan> {
    let time = || prop_oneof![8 => 1..1_000_u64, 1 => Just(0), 1 => any::<u64>()];
    let ids = (any_id(16), any_id(8), any_id(8));
    let status = prop::option::of(-1..4);
    let events = prop::collection::vec(any_attributes(), 0..2);
    (ids, any_key(), -1..7, time(), time(), any_attributes(), status, events).prop_map(
        |(ids, name, kind, start, end, attributes, status, events)| OtlpSpan {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: name.clone(),
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            status: status.map(|code| Status { code, message: "no".into() }),
            events: events
                .into_iter()
                .map(|attributes| Event { attributes, ..Default::default() })
                .collect(),
            ..Default::default()
        },
    )
}

fn any_request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = prop::collection::vec(any_span(), 0..4)
        .prop_map(|spans| ScopeSpans { spans, ..Default::default() });
    let resource = prop::option::weighted(0.9, any_attributes());
    let one = (resource, prop::collection::vec(scope, 0..3)).prop_map(|(resource, scope_spans)| {
        let resource = resource.map(|attributes| Resource { attributes, ..Default::default() });
        ResourceSpans { resource, scope_spans, ..Default::default() }
    });
    prop::collection::vec(one, 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

proptest! {
    #![proptest_config(fixed(4000))]

    #[test]
    fn property_random_requests_are_read_the_same(request in any_request(), damages in damages()) {
        compare(&damage(request.encode_to_vec(), &damages), NAME_MAX);
    }

    /// Fields in another order, and parts of a message that come twice, which protobuf allows.
    #[test]
    fn property_two_requests_one_after_the_other_are_one(
        one in any_request(),
        other in any_request(),
        at in any::<Index>(),
    ) {
        let (one, other) = (one.encode_to_vec(), other.encode_to_vec());
        prop_assert_eq!(compare(&[&one[..], &other].concat(), NAME_MAX), (true, true));
        // Cut short, both notice or neither does.
        if !one.is_empty() {
            let (ours, theirs) = compare(&one[..at.index(one.len())], NAME_MAX);
            prop_assert_eq!(ours, theirs);
        }
    }

    /// A span whose fields come in any order, some of them twice.
    #[test]
    fn property_fields_in_any_order_are_read_the_same(
        spans in prop::collection::vec(any_span(), 1..4),
        resource in any_attributes(),
        resource_is_last in any::<bool>(),
    ) {
        let merged: Vec<u8> = spans.iter().rev().flat_map(OtlpSpan::encode_to_vec).collect();
        let scope = field(2, &field(2, &merged));
        let resource = field(1, &Resource { attributes: resource, ..Default::default() }.encode_to_vec());
        let parts = if resource_is_last { [scope, resource] } else { [resource, scope] };
        prop_assert_eq!(compare(&field(1, &parts.concat()), NAME_MAX), (true, true));
    }
}

/// A length-delimited field.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![tag << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}
