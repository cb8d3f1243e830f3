//! OTLP as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use sage::receive::decode_export;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<ExportTraceServiceRequest>(bytes) {
        decode_export(&request, 40);
    }
});
