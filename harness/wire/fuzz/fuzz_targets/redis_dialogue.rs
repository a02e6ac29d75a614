//! The dialogue with Redis, fed with any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_wire::redis::RedisDialogue;

fuzz_target!(|input: &[u8]| touchstone_wire_fuzz::check::<RedisDialogue>(input));
