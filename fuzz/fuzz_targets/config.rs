//! The operator's file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sage::config::parse;

fuzz_target!(|text: &str| {
    drop(parse(text));
});
