//! What is told of replies.

use crate::exchange::{Exchange, command};
use touchstone_wire::limits;

/// What is told of one reply to one command, in words: its kind and size.
#[track_caller]
fn reply(bytes: impl AsRef<[u8]>) -> String {
    let mut exchange = Exchange::default();
    exchange.up(command("GET k"));
    let told = exchange.down(bytes);
    assert_eq!(told.len(), 2, "a head and an end: {told:?}");
    assert_eq!(told[0], "to 0");
    assert!(exchange.down_is_between());
    assert_eq!(exchange.oldest_pending(), None);
    told[1].trim_start_matches("end 0 ").to_owned()
}

#[test]
fn replies_of_the_old_protocol_are_told_by_kind() {
    assert_eq!(reply("+OK\r\n"), "Simple of 5");
    assert_eq!(reply("-ERR no\r\n"), "error ERR no of 9");
    assert_eq!(reply(":-5\r\n"), "Integer(-5) of 5");
    assert_eq!(reply("$3\r\nabc\r\n"), "Bulk(3) of 9");
    assert_eq!(reply("$0\r\n\r\n"), "Bulk(0) of 6");
    assert_eq!(reply("$-1\r\n"), "Nil of 5");
    assert_eq!(reply("*-1\r\n"), "Nil of 5");
    assert_eq!(reply("*0\r\n"), "Aggregate(0) of 4");
    assert_eq!(
        reply("*3\r\n:1\r\n*2\r\n$-1\r\n+a\r\n-ERR x\r\n"),
        "Aggregate(3) of 29"
    );
}

#[test]
fn replies_of_the_new_protocol_are_told_by_kind() {
    assert_eq!(reply("_\r\n"), "Nil of 3");
    assert_eq!(reply("#t\r\n"), "Simple of 4");
    assert_eq!(reply(",-1.5e3\r\n"), "Simple of 9");
    assert_eq!(reply(",inf\r\n"), "Simple of 6");
    assert_eq!(reply("(12345678901234567890123\r\n"), "Simple of 26");
    assert_eq!(reply("=7\r\ntxt:abc\r\n"), "Bulk(7) of 13");
    assert_eq!(reply("!5\r\nERR x\r\n"), "error ERR x of 11");
    assert_eq!(reply("%1\r\n+a\r\n~1\r\n:1\r\n"), "Aggregate(1) of 16");
    assert_eq!(reply("%0\r\n"), "Aggregate(0) of 4");
}

#[test]
fn attributes_belong_to_what_follows_them() {
    assert_eq!(reply("|1\r\n+a\r\n*1\r\n:2\r\n:7\r\n"), "Integer(7) of 20");
    assert_eq!(reply("|0\r\n+a\r\n"), "Simple of 8");
    assert_eq!(
        reply("*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n"),
        "Aggregate(2) of 24"
    );
    assert_eq!(
        Exchange::default().down("|1\r\n+a\r\n+b\r\n>1\r\n+x\r\n"),
        ["aside"]
    );
}

#[test]
fn replies_are_paired_in_the_order_of_their_commands() {
    let mut exchange = Exchange::default();
    exchange.up([command("GET a"), command("BLPOP b 0"), command("GET c")].concat());
    assert_eq!(exchange.oldest_pending(), Some(0));
    let told = exchange.down("$1\r\n1\r\n");
    assert_eq!(told, ["to 0", "end 0 Bulk(1) of 7"]);
    assert_eq!(exchange.oldest_pending(), Some(1), "a blocking one waits");
    assert_eq!(exchange.down("*2\r\n$1"), ["to 1"]);
    assert!(!exchange.down_is_between());
    let told = exchange.down("\r\nb\r\n:1\r\n:3\r\n");
    assert_eq!(
        told,
        ["end 1 Aggregate(2) of 15", "to 2", "end 2 Integer(3) of 4"]
    );
}

#[test]
fn a_reply_nobody_asked_for_ends_the_decoding() {
    assert_eq!(Exchange::default().down("+OK\r\n"), ["lost UnaskedReply"]);
    assert_eq!(Exchange::default().down("$1\r\na"), ["lost UnaskedReply"]);
}

#[test]
fn an_error_nobody_asked_for_is_an_aside() {
    for text in [
        "-ERR max number of clients reached\r\n",
        "-ERR Protocol error: invalid bulk length\r\n",
        "-DENIED Redis is running in protected mode\r\n",
    ] {
        assert_eq!(Exchange::default().down(text), ["aside"]);
    }
}

#[test]
fn an_error_in_the_middle_of_a_command_answers_it() {
    let mut exchange = Exchange::default();
    exchange.up("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$999999999999\r\nxxx");
    let told = exchange.down("-ERR Protocol error: invalid bulk length\r\n");
    assert_eq!(told[0], "to 0");
}

#[test]
fn a_long_error_is_cut() {
    let text = "é".repeat(limits::ERROR_BYTES_MAX);
    let told = reply(format!("-{text}\r\n"));
    let kept = "é".repeat(limits::ERROR_BYTES_MAX / 2);
    assert_eq!(told, format!("error {kept} of {}", text.len() + 3));
}

#[test]
fn bytes_that_are_no_reply_end_the_decoding() {
    for bytes in [
        "HTTP/1.1 400 Bad Request\r\n",
        "$-2\r\n",
        "$03\r\n",
        "%-1\r\n",
        "$1\r\nabc",
        ":\r\n",
        ":1x\r\n",
        "#y\r\n",
        "_x\r\n",
        "(\r\n",
        "+a\nb",
        "+a\rb",
        "*1\r\n>1\r\n",
        "$?\r\n",
        "*?\r\n",
    ] {
        let mut exchange = Exchange::default();
        exchange.up(command("GET k"));
        let told = exchange.down(bytes);
        assert_eq!(
            told.last().map(String::as_str),
            Some("lost NotTheProtocol"),
            "of {bytes:?}"
        );
        assert!(exchange.down("+OK\r\n").is_empty(), "it comes once");
        assert!(exchange.up("PING\r\n").is_empty(), "and for both");
        assert!(exchange.lost().is_some());
    }
}

#[test]
fn replies_nest_up_to_a_limit() {
    let deep = |depth: usize| "*1\r\n".repeat(depth) + ":1\r\n";
    assert_eq!(
        reply(deep(limits::DEPTH_MAX)),
        format!("Aggregate(1) of {}", 4 * limits::DEPTH_MAX + 4)
    );
    let mut exchange = Exchange::default();
    exchange.up(command("GET k"));
    let told = exchange.down(deep(limits::DEPTH_MAX + 1));
    assert_eq!(told, ["to 0", "lost NotTheProtocol"]);
}
