//! The state of a connection: transactions, silence, what is withheld, what ends the decoding.

use crate::exchange::{Exchange, command};
use touchstone_wire::limits;

fn all(commands: &[&str]) -> Vec<u8> {
    commands.iter().flat_map(|words| command(words)).collect()
}

/// The heads of some commands, in words.
#[track_caller]
fn heads(exchange: &mut Exchange, commands: &[&str]) -> Vec<String> {
    let told = exchange.up(all(commands));
    told.into_iter().step_by(2).collect()
}

#[test]
fn what_lies_between_multi_and_exec_is_in_a_transaction() {
    let mut exchange = Exchange::default();
    let told = heads(&mut exchange, &["MULTI", "SET k v", "EXEC", "GET k"]);
    assert_eq!(
        told,
        ["0 MULTI", "1 SET k (in transaction)", "2 EXEC", "3 GET k"]
    );
    let told = exchange.down("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\nv\r\n");
    assert_eq!(told[5], "end 2 Aggregate(1) of 9");
    let told = heads(&mut exchange, &["MULTI", "GET k", "DISCARD", "GET k"]);
    assert_eq!(told[3], "7 GET k");
    let told = heads(&mut exchange, &["MULTI", "GET k", "RESET", "GET k"]);
    assert_eq!(told[3], "11 GET k");
}

#[test]
fn a_refused_multi_begins_no_transaction() {
    let mut exchange = Exchange::default();
    exchange.up(command("MULTI"));
    exchange.down("-NOAUTH Authentication required.\r\n");
    assert_eq!(heads(&mut exchange, &["GET k"]), ["1 GET k"]);
    assert_eq!(heads(&mut exchange, &["MULTI x", "GET k"])[1], "3 GET k");
}

#[test]
fn replies_that_are_switched_off_are_not_waited_for() {
    let mut exchange = Exchange::default();
    exchange.up(all(&["CLIENT REPLY OFF", "GET a", "SET b c"]));
    assert_eq!(exchange.oldest_pending(), None);
    exchange.up(all(&["client reply on", "GET d"]));
    let told = exchange.down("+OK\r\n$-1\r\n");
    assert_eq!(told[0], "to 3");
    assert_eq!(told[2], "to 4");
}

#[test]
fn a_skip_holds_for_itself_and_the_next_command() {
    let mut exchange = Exchange::default();
    let skips = ["CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING", "GET a"];
    exchange.up(all(&skips));
    assert_eq!(exchange.oldest_pending(), Some(3));
    exchange.down("$-1\r\n");
    exchange.up(b"CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nGET a\r\n");
    assert_eq!(exchange.oldest_pending(), Some(5));
    exchange.down("+OK\r\n$-1\r\n");
    exchange.up(all(&["CLIENT REPLY FROB"]));
    assert_eq!(exchange.oldest_pending(), Some(7), "that is an error");
}

#[test]
fn a_reset_ends_the_silence_the_protocol_and_the_subscriptions() {
    let mut exchange = Exchange::default();
    exchange.up(all(&[
        "HELLO 3",
        "SUBSCRIBE a",
        "CLIENT REPLY OFF",
        "RESET",
    ]));
    exchange.down("%0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert_eq!(exchange.oldest_pending(), Some(3));
    exchange.down("+RESET\r\n");
    exchange.up(command("LRANGE l 0 -1"));
    let told = exchange.down("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
    assert_eq!(told[0], "to 4");
}

#[test]
fn quit_is_answered_as_any_command() {
    let mut exchange = Exchange::default();
    exchange.up(command("QUIT"));
    assert_eq!(exchange.down("+OK\r\n"), ["to 0", "end 0 Simple of 5"]);
}

#[test]
fn no_reply_is_owed_to_a_command_that_is_withheld() {
    let mut exchange = Exchange::default();
    exchange.up(command("GET a"));
    exchange.up(command("GET b"));
    exchange.withhold(1);
    exchange.up(command("GET c"));
    let told = exchange.down("$-1\r\n$1\r\nc\r\n");
    assert_eq!(told[0], "to 0");
    assert_eq!(told[2], "to 2");
}

#[test]
fn a_command_can_be_withheld_before_it_is_complete() {
    let mut exchange = Exchange::default();
    exchange.up("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na");
    exchange.withhold(0);
    assert_eq!(exchange.up("bc\r\n"), ["end 0 of 29"]);
    assert_eq!(exchange.oldest_pending(), None);
}

#[test]
fn what_a_withheld_command_would_have_changed_is_not_assumed() {
    let mut exchange = Exchange::default();
    exchange.up(command("MULTI"));
    exchange.withhold(0);
    assert_eq!(heads(&mut exchange, &["GET k"]), ["1 GET k"]);
    exchange.down("$-1\r\n");

    exchange.up(command("MULTI"));
    exchange.up(command("EXEC"));
    exchange.withhold(3);
    assert_eq!(
        heads(&mut exchange, &["GET k", "EXEC"])[0],
        "4 GET k (in transaction)"
    );
    exchange.down("+OK\r\n+QUEUED\r\n*0\r\n");

    exchange.up(command("CLIENT REPLY OFF"));
    exchange.withhold(6);
    exchange.up("*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n");
    exchange.withhold(7);
    exchange.up("$3\r\nOFF\r\n");
    exchange.up(command("HELLO 3"));
    exchange.withhold(8);
    exchange.up(command("SUBSCRIBE a"));
    exchange.withhold(9);
    exchange.up(command("GET k"));
    assert_eq!(exchange.down("$-1\r\n")[0], "to 10");

    exchange.up(all(&["CLIENT REPLY SKIP", "GET a"]));
    exchange.withhold(12);
    exchange.up(all(&["GET b", "GET c"]));
    assert_eq!(exchange.oldest_pending(), Some(14), "the skip is still due");
}

#[test]
fn streams_of_another_kind_end_the_decoding_once_they_begin() {
    for name in ["MONITOR", "SYNC", "PSYNC ? -1"] {
        let mut exchange = Exchange::default();
        exchange.up(all(&["PING", name]));
        let told = exchange.down("+PONG\r\n+OK\r\n");
        assert_eq!(told.last().map(String::as_str), Some("lost OtherStream"));

        let mut refused = Exchange::default();
        refused.up(all(&[name, "PING"]));
        let told = refused.down("-NOAUTH no\r\n+PONG\r\n");
        assert_eq!(told[2], "to 1", "a refusal changes nothing");
    }
}

#[test]
fn a_transaction_that_is_answered_by_more_than_one_reply_is_not_decoded() {
    let mut exchange = Exchange::default();
    exchange.up(all(&["MULTI", "SUBSCRIBE a b", "EXEC"]));
    let told = exchange.down("+OK\r\n+QUEUED\r\n*1\r\n*3\r\n");
    assert_eq!(told.last().map(String::as_str), Some("lost OtherStream"));
}

#[test]
fn more_commands_without_a_reply_than_are_kept_track_of_end_the_decoding() {
    use touchstone_wire::redis::RedisDialogue;
    use touchstone_wire::{Lost, Up};
    let mut dialogue = RedisDialogue::default();
    let pipeline = "PING\n".repeat(limits::PENDING_MAX + 1);
    let told = crate::exchange::up(&mut dialogue, pipeline.as_bytes(), usize::MAX);
    assert_eq!(told.len(), 2 * limits::PENDING_MAX + 1);
    assert!(matches!(
        told.last(),
        Some((_, Up::Lost(Lost::TooManyPending)))
    ));
}
