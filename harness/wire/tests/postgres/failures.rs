//! Errors, and what is no Postgres.

use crate::support::*;
use touchstone_wire::limits::ERROR_BYTES_MAX;
use touchstone_wire::{CommandId, Dialogue, Down, Lost, ReplyKind, Up};

#[test]
fn an_error_is_told_with_its_code_and_cut() {
    let mut talk = Talk::ready();
    talk.command(&query("SELECT 1"));
    let text = "ä".repeat(ERROR_BYTES_MAX);
    let ReplyKind::Error(told) = talk.reply(&[error("XX000", &text), ready(b'I')].concat()) else {
        panic!("an error is an error")
    };
    assert!(
        told.starts_with("XX000 ää")
            && told.len() <= ERROR_BYTES_MAX
            && told.len() > ERROR_BYTES_MAX - 2
    );
}

#[test]
fn a_goodbye_of_the_server_is_aside_while_nothing_is_pending() {
    let mut talk = Talk::ready();
    assert_eq!(
        talk.down(&error("57P01", "terminating connection")),
        [Down::Aside]
    );
    assert_eq!(talk.dialogue.lost(), None);
}

#[test]
fn a_goodbye_of_the_server_begins_a_reply_that_never_ends_while_one_is_pending() {
    let mut talk = Talk::ready();
    talk.command(&query("SELECT 1"));
    let events = talk.down(&error("57P01", "terminating connection"));
    assert_eq!(events, [Down::Head(CommandId(0))]);
    assert_eq!(talk.dialogue.oldest_pending(), Some(CommandId(0)));
    assert!(!talk.dialogue.down_is_between());
}

#[test]
fn impossible_lengths_and_unknown_types_are_lost() {
    let ups: [&[u8]; 5] = [
        b"!",
        &[b'Q', 0, 0, 0, 3],
        &[b'Q', 0x7f, 0, 0, 0],
        &[b'S', 0, 0, 0, 5],
        &[b'Z', 0, 0, 0, 5, b'I'],
    ];
    for bytes in ups {
        assert_eq!(
            Talk::ready().up(bytes),
            [Up::Lost(Lost::NotTheProtocol)],
            "of {bytes:?}"
        );
    }
    let downs: [&[u8]; 6] = [
        b"+OK\r\n",
        &[b'C', 0, 0, 0, 0],
        &[b'D', 0xff, 0, 0, 0],
        &[b'Z', 0, 0, 0, 4],
        &[b'1', 0, 0, 0, 9],
        &[b'R', 0, 0, 0, 8, 0, 0, 0, 0],
    ];
    for bytes in downs {
        let mut talk = Talk::ready();
        talk.command(&query("SELECT 1"));
        assert_eq!(
            talk.down(bytes),
            [Down::Lost(Lost::NotTheProtocol)],
            "of {bytes:?}"
        );
    }
    let mut talk = Talk::ready();
    talk.command(&query("SELECT 1"));
    let events = talk.down(&ready(b'?'));
    assert_eq!(
        events,
        [Down::Head(CommandId(0)), Down::Lost(Lost::NotTheProtocol)]
    );
}

#[test]
fn a_query_in_an_unfinished_extended_cycle_is_given_up_when_it_fails() {
    let cycle = [parse("", "SELECT 1"), query("SELECT 2")].concat();
    let mut talk = Talk::ready();
    assert_eq!(talk.command(&cycle).key_count, 1);
    let reply = [parse_complete(), complete("SELECT 1"), ready(b'I')].concat();
    assert_eq!(talk.reply(&reply), ReplyKind::Rows(1));
    talk.command(&cycle);
    let events = talk.down(&error("42601", "syntax"));
    assert_eq!(
        events,
        [Down::Head(CommandId(1)), Down::Lost(Lost::NotTheProtocol)]
    );
}

#[test]
fn a_reply_cannot_end_before_its_command() {
    let mut talk = Talk::ready();
    talk.up(&[parse("", "SELECT 1"), flush()].concat());
    let events = talk.down(&[parse_complete(), ready(b'I')].concat());
    assert_eq!(
        events,
        [Down::Head(CommandId(0)), Down::Lost(Lost::UnaskedReply)]
    );
}

#[test]
fn nothing_is_told_after_the_loss() {
    let mut talk = Talk::ready();
    talk.up(b"!");
    assert_eq!(talk.up(&query("SELECT 1")), []);
    assert_eq!(talk.down(&ready(b'I')), []);
    assert_eq!(talk.dialogue.lost(), Some(Lost::NotTheProtocol));
}
