//! OTLP as protobuf: what generated code takes is taken, with the same result, unless it holds a group.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use sage::receive::{decode_export, read_export};

fuzz_target!(|bytes: &[u8]| {
    let ours = read_export(bytes, 40, 1 << 16);
    let Ok(theirs) = ExportTraceServiceRequest::decode(bytes) else { return };
    match ours {
        Ok(ours) => assert_eq!(ours, decode_export(&theirs, 40)),
        Err(why) => {
            let why = why.to_string();
            assert!(why.contains("a group") || why.contains("number of messages"), "{why}");
        }
    }
});
