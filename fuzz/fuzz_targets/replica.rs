//! Any bytes are a message or a record of a replica of a service, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skein_machine::wire;
use skein_order::primcast;
use skein_service::replica::{Message, Record};

fuzz_target!(|bytes: &[u8]| {
    wire::examine::<Message<primcast::Message>>(bytes);
    wire::examine::<Record<primcast::Record>>(bytes);
});
