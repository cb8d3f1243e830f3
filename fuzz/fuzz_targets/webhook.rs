//! Alertmanager's webhook.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sage::receive::decode_webhook;

fuzz_target!(|bytes: &[u8]| {
    drop(decode_webhook(bytes));
});
