//! Any bytes are a message of White-Box or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein_machine::wire;
use skein_order::whitebox::Message;

fuzz_target!(|bytes: &[u8]| wire::examine::<Message>(bytes));
