//! Request bodies as they come over HTTP.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/decoders/bodies.rs"]
mod bodies;

fuzz_target!(|bytes: &[u8]| {
    bodies::check(bytes);
});
