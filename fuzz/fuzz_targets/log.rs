//! Any bytes are the log of a replica, whole or cut off at its end, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein_runtime::wal;

fuzz_target!(|bytes: &[u8]| wal::examine(bytes));
