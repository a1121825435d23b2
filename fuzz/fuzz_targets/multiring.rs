//! Any bytes are a message of Multi-Ring Paxos or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein_machine::wire;
use skein_order::multiring::Message;

fuzz_target!(|bytes: &[u8]| wire::examine::<Message>(bytes));
