//! Subscriptions, in both protocols.

use crate::exchange::{Exchange, command};

/// A confirmation as the store sends it.
fn confirmation(head: char, kind: &str, channel: &str, left: u32) -> String {
    let (kind_length, length) = (kind.len(), channel.len());
    format!("{head}3\r\n${kind_length}\r\n{kind}\r\n${length}\r\n{channel}\r\n:{left}\r\n")
}

const MESSAGE: &str = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
const PATTERN_MESSAGE: &str = "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\nx\r\n";
const HELLO_REPLY: &str = "%1\r\n$5\r\nproto\r\n:3\r\n";

fn in_resp3() -> Exchange {
    let mut exchange = Exchange::default();
    exchange.up(command("HELLO 3"));
    exchange.down(HELLO_REPLY);
    exchange
}

#[test]
fn a_subscription_to_two_channels_is_confirmed_twice() {
    for (head, mut exchange) in [('*', Exchange::default()), ('>', in_resp3())] {
        exchange.up([command("SUBSCRIBE a b"), command("PING")].concat());
        let first = exchange.down(confirmation(head, "subscribe", "a", 1));
        assert!(first[1].ends_with(", more"), "{first:?}");
        let second = exchange.down(confirmation(head, "subscribe", "b", 2));
        assert!(second[1].ends_with("Aggregate(3) of 30"), "{second:?}");
        let pong = exchange.down("+PONG\r\n");
        assert!(pong[1].contains("Simple"), "{pong:?}");
    }
}

#[test]
fn messages_belong_to_nobody() {
    let mut exchange = Exchange::default();
    exchange.up(command("SUBSCRIBE a"));
    exchange.down(confirmation('*', "subscribe", "a", 1));
    assert_eq!(exchange.down([MESSAGE, MESSAGE].concat()), ["aside"; 2]);
    exchange.up(command("PING"));
    let told = exchange.down([MESSAGE, "*2\r\n$4\r\npong\r\n$0\r\n\r\n"].concat());
    assert_eq!(told, ["aside", "to 1", "end 1 Aggregate(2) of 20"]);

    let mut exchange = in_resp3();
    exchange.up(command("SUBSCRIBE a"));
    exchange.down(confirmation('>', "subscribe", "a", 1));
    exchange.up(command("LRANGE l 0 -1"));
    let told = exchange.down([">", &MESSAGE[1..], MESSAGE].concat());
    assert_eq!(
        told,
        ["aside", "to 2", "end 2 Aggregate(3) of 31"],
        "an array that looks like a message is a reply"
    );
}

#[test]
fn a_list_that_looks_like_a_message_is_a_reply_without_a_subscription() {
    let mut exchange = Exchange::default();
    exchange.up(command("LRANGE l 0 -1"));
    assert_eq!(exchange.down(MESSAGE)[0], "to 0");
    exchange.up([command("PSUBSCRIBE *"), command("PUNSUBSCRIBE *")].concat());
    exchange.down(confirmation('*', "psubscribe", "*", 1));
    assert_eq!(exchange.down(PATTERN_MESSAGE), ["aside"]);
    exchange.down(confirmation('*', "punsubscribe", "*", 0));
    exchange.up(command("LRANGE l 0 -1"));
    assert_eq!(exchange.down(PATTERN_MESSAGE)[0], "to 3");
}

#[test]
fn ending_all_subscriptions_is_confirmed_once_for_each_of_that_kind() {
    let mut exchange = Exchange::default();
    let pipeline = ["SUBSCRIBE a a b", "PSUBSCRIBE *", "UNSUBSCRIBE", "PING"];
    exchange.up(pipeline.map(command).concat());
    for (channel, left) in [("a", 1), ("a", 1), ("b", 2)] {
        exchange.down(confirmation('*', "subscribe", channel, left));
    }
    exchange.down(confirmation('*', "psubscribe", "*", 3));
    let told = exchange.down(confirmation('*', "unsubscribe", "a", 2));
    assert_eq!(told, ["to 2", "end 2 Aggregate(3) of 33, more"]);
    let told = exchange.down(confirmation('*', "unsubscribe", "b", 1));
    assert_eq!(told, ["to 2", "end 2 Aggregate(3) of 33"]);
    assert_eq!(exchange.oldest_pending(), Some(3));
}

#[test]
fn ending_no_subscription_is_confirmed_once() {
    for (mut exchange, reply) in [
        (
            Exchange::default(),
            "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
        ),
        (in_resp3(), ">3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n"),
    ] {
        exchange.up(command("UNSUBSCRIBE"));
        let told = exchange.down(reply);
        assert!(!told[1].ends_with("more"), "{told:?}");
        assert_eq!(exchange.oldest_pending(), None);
    }
}

#[test]
fn a_refused_subscription_gets_one_error() {
    let mut exchange = Exchange::default();
    exchange.up([command("SUBSCRIBE a b"), command("GET k")].concat());
    let told = exchange.down("-NOPERM no\r\n$-1\r\n");
    assert_eq!(
        told,
        [
            "to 0",
            "end 0 error NOPERM no of 12",
            "to 1",
            "end 1 Nil of 5"
        ]
    );
}

#[test]
fn sharded_channels_are_counted_apart_and_may_end_unasked() {
    let mut exchange = Exchange::default();
    exchange.up([command("SSUBSCRIBE a b"), command("SUBSCRIBE c")].concat());
    exchange.down(confirmation('*', "ssubscribe", "a", 1));
    exchange.down(confirmation('*', "ssubscribe", "b", 2));
    exchange.down(confirmation('*', "subscribe", "c", 1));
    let gone = confirmation('*', "sunsubscribe", "a", 1);
    assert_eq!(exchange.down(&gone), ["aside"]);
    exchange.up(command("SUNSUBSCRIBE"));
    let told = exchange.down(confirmation('*', "sunsubscribe", "b", 0));
    assert!(!told[1].ends_with("more"), "{told:?}");
    assert_eq!(exchange.down(MESSAGE), ["aside"], "c is still there");
}

#[test]
fn pushes_of_other_kinds_belong_to_nobody_even_before_a_reply() {
    let mut exchange = in_resp3();
    exchange.up(command("GET k"));
    let told = exchange.down(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n$-1\r\n");
    assert_eq!(told, ["aside", "to 1", "end 1 Nil of 5"]);
    assert_eq!(exchange.down(">0\r\n>1\r\n:1\r\n"), ["aside"; 2]);
}

#[test]
fn confirmations_come_although_replies_are_off() {
    let mut exchange = Exchange::default();
    let pipeline = ["CLIENT REPLY OFF", "SUBSCRIBE a", "CLIENT REPLY ON"];
    exchange.up(pipeline.map(command).concat());
    let told = exchange.down(confirmation('*', "subscribe", "a", 1) + "+OK\r\n");
    assert_eq!(
        told,
        [
            "to 1",
            "end 1 Aggregate(3) of 30",
            "to 2",
            "end 2 Simple of 5"
        ]
    );
    exchange.up(["CLIENT REPLY OFF", "UNSUBSCRIBE", "CLIENT REPLY ON"]
        .map(command)
        .concat());
    assert_eq!(
        exchange.down("+OK\r\n")[0],
        "to 5",
        "if none came, none was owed"
    );
}
