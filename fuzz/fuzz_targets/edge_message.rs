//! Any bytes are a message of an agent of the edge, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein_edge::trial;

fuzz_target!(|bytes: &[u8]| trial::message(bytes));
