//! Whatever a client of Redis says is read as the same commands, in whatever
//! pieces it comes, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| skein::examine_commands(bytes));
