//! What decoding costs: `cargo run --release -p touchstone-wire --example throughput`.
//!
//! Prints nanoseconds for a command and its reply, in the best of many pipelines of 16 (what the decoder costs when
//! nothing else runs), and the time in which a large value passes.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use touchstone_wire::Dialogue;
use touchstone_wire::postgres::PostgresDialogue;
use touchstone_wire::redis::RedisDialogue;

const PIPELINE: usize = 16;
const ROUNDS: usize = 50_000;
const PIECE_BYTES: usize = 64 * 1024;
const VALUE_BYTES: usize = 512 << 20;

fn main() {
    redis();
    postgres();
}

fn redis() {
    let get = b"*2\r\n$3\r\nGET\r\n$10\r\nuser:12345\r\n";
    let set = b"*3\r\n$3\r\nSET\r\n$10\r\nuser:12345\r\n$16\r\n0123456789abcdef\r\n";
    let fresh = RedisDialogue::default;
    pipelines("PING", fresh, b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n");
    pipelines("GET", fresh, get, b"$16\r\n0123456789abcdef\r\n");
    pipelines("SET", fresh, set, b"+OK\r\n");
    large_value();
}

fn postgres() {
    let text = b"SELECT id, name, email FROM users WHERE id = $1";
    let query = message(b'Q', &[text, &b"\0"[..]].concat());
    let bind = message(
        b'B',
        b"\0s0\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x07\0\x01\0\x01",
    );
    let run = [bind, message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    let end = [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
    let row = message(
        b'D',
        b"\0\x03\0\0\0\x04\0\0\0\x07\0\0\0\x03bob\0\0\0\x0bbob@x.local",
    );
    let one = [message(b'2', b""), row.clone(), end.clone()].concat();
    let many = [row.repeat(1000), end].concat();
    pipelines("Query", session, &query, &one);
    pipelines("Bind", session, &run, &one);
    pipelines("1000 rows", session, &query, &many);
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 4;
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// A session that has prepared `s0`.
fn session() -> PostgresDialogue {
    let mut dialogue = PostgresDialogue::default();
    up(&mut dialogue, b"\0\0\0\x10\0\x03\0\0user\0a\0\0");
    down(
        &mut dialogue,
        &[message(b'R', &[0; 4]), message(b'Z', b"I")].concat(),
    );
    let parse = message(b'P', b"s0\0SELECT id, name FROM users WHERE id = $1\0\0\0");
    up(&mut dialogue, &[parse, message(b'S', b"")].concat());
    down(
        &mut dialogue,
        &[message(b'1', b""), message(b'Z', b"I")].concat(),
    );
    assert!(dialogue.lost().is_none() && dialogue.oldest_pending().is_none());
    dialogue
}

fn pipelines<D: Dialogue>(name: &str, fresh: fn() -> D, command: &[u8], reply: &[u8]) {
    let (commands, replies) = (command.repeat(PIPELINE), reply.repeat(PIPELINE));
    let mut dialogue = fresh();
    let (mut up_ns, mut down_ns) = (u128::MAX, u128::MAX);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        up(&mut dialogue, &commands);
        let between = Instant::now();
        down(&mut dialogue, &replies);
        down_ns = down_ns.min(between.elapsed().as_nanos());
        up_ns = up_ns.min((between - begin).as_nanos());
    }
    let (up_ns, down_ns) = (up_ns / PIPELINE as u128, down_ns / PIPELINE as u128);
    println!(
        "{name:>9}: {} ns (up {up_ns}, down {down_ns})",
        up_ns + down_ns
    );
}

fn up<D: Dialogue>(dialogue: &mut D, mut rest: &[u8]) {
    loop {
        let advance = dialogue.up(rest);
        rest = &rest[advance.consumed..];
        if black_box(advance.event).is_none() {
            return;
        }
    }
}

fn down<D: Dialogue>(dialogue: &mut D, mut rest: &[u8]) {
    loop {
        let advance = dialogue.down(rest);
        rest = &rest[advance.consumed..];
        if black_box(advance.event).is_none() {
            return;
        }
    }
}

fn large_value() {
    let piece = vec![b'x'; PIECE_BYTES];
    let mut dialogue = RedisDialogue::default();
    let begin = Instant::now();
    up(&mut dialogue, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n");
    up(&mut dialogue, format!("${VALUE_BYTES}\r\n").as_bytes());
    for _ in 0..VALUE_BYTES / PIECE_BYTES {
        up(&mut dialogue, black_box(&piece));
    }
    up(&mut dialogue, b"\r\n");
    println!("512 MiB value: {:?}", begin.elapsed());
}
