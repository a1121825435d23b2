//! Any bytes are a record on the disk of a replica of Multi-Ring Paxos or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein_machine::wire;
use skein_order::multiring::Record;

fuzz_target!(|bytes: &[u8]| wire::examine::<Record>(bytes));
