//! Any bytes are a request of the store or are refused, and what is one is
//! carried out, or refused, without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    skein_service::kv::examine(bytes);
    skein_service::kv::try_out(bytes);
});
