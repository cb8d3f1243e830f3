//! Remote write 2.0, uncompressed.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/support/reference.rs"]
mod reference;
mod write;

fuzz_target!(|bytes: &[u8]| write::check(bytes, true));
