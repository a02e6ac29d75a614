//! What decoding costs: `cargo run --release -p touchstone-wire --example throughput`.
//!
//! Prints nanoseconds for a command and its reply, in the best of many pipelines of 16 (what the decoder costs when
//! nothing else runs), and the time in which a large value passes.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use touchstone_wire::Dialogue;
use touchstone_wire::redis::RedisDialogue;

const PIPELINE: usize = 16;
const ROUNDS: usize = 50_000;
const PIECE_BYTES: usize = 64 * 1024;
const VALUE_BYTES: usize = 512 << 20;

fn main() {
    let get = b"*2\r\n$3\r\nGET\r\n$10\r\nuser:12345\r\n";
    let set = b"*3\r\n$3\r\nSET\r\n$10\r\nuser:12345\r\n$16\r\n0123456789abcdef\r\n";
    pipelines("PING", b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n");
    pipelines("GET", get, b"$16\r\n0123456789abcdef\r\n");
    pipelines("SET", set, b"+OK\r\n");
    large_value();
}

fn pipelines(name: &str, command: &[u8], reply: &[u8]) {
    let (commands, replies) = (command.repeat(PIPELINE), reply.repeat(PIPELINE));
    let mut dialogue = RedisDialogue::default();
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
        "{name:>5}: {} ns (up {up_ns}, down {down_ns})",
        up_ns + down_ns
    );
}

fn up(dialogue: &mut RedisDialogue, mut rest: &[u8]) {
    loop {
        let advance = dialogue.up(rest);
        rest = &rest[advance.consumed..];
        if black_box(advance.event).is_none() {
            return;
        }
    }
}

fn down(dialogue: &mut RedisDialogue, mut rest: &[u8]) {
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
