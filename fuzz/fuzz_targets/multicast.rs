//! Any bytes are a multicast message or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein_machine::{Multicast, wire};

fuzz_target!(|bytes: &[u8]| wire::examine::<Multicast>(bytes));
