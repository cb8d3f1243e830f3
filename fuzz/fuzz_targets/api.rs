//! Questions to the API, the page and Grafana's data source.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/decoders/questions.rs"]
mod questions;

fuzz_target!(|bytes: &[u8]| {
    questions::check(bytes);
});
