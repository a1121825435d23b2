//! Any bytes are what a client asks, or what it is answered, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein::machine::wire;
use skein::speech::{Reply, Request};

fuzz_target!(|bytes: &[u8]| {
    wire::examine::<Request>(bytes);
    wire::examine::<Reply>(bytes);
});
