//! Any bytes on a connection are frames, messages, a hello, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein_runtime::hello;

fuzz_target!(|bytes: &[u8]| hello::examine(bytes));
