//! Whatever a member of a fleet is told, it stays one, and says what can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein_edge::trial;

fuzz_target!(|bytes: &[u8]| {
    trial::packets(bytes);
});
