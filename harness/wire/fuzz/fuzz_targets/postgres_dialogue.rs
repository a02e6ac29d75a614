//! The dialogue with Postgres, fed with any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_wire::postgres::PostgresDialogue;

fuzz_target!(|input: &[u8]| touchstone_wire_fuzz::check::<PostgresDialogue>(input));
