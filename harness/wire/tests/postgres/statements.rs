//! What is remembered of prepared statements, and for how long.

use crate::support::*;
use touchstone_wire::{Command, Dialogue};

fn run(talk: &mut Talk, statement: &str) -> Command {
    talk.command(&[bind("", statement), execute(""), sync()].concat())
}

fn prepare(talk: &mut Talk, statement: &str, text: &str) -> Command {
    talk.command(&[parse(statement, text), sync()].concat())
}

fn assert_forgotten(talk: &mut Talk, statement: &str) {
    let command = run(talk, statement);
    assert_eq!(
        (command.name.as_ref(), command.is_whole),
        ("EXECUTE", false)
    );
    assert_eq!((command.key_count, command.keys.len()), (1, 0));
}

#[test]
fn a_closed_statement_is_forgotten() {
    let mut talk = Talk::ready();
    prepare(&mut talk, "s", "SELECT 1");
    assert_eq!(run(&mut talk, "s").name, "SELECT");
    talk.command(&[close(b'S', "s"), sync()].concat());
    assert_forgotten(&mut talk, "s");
}

#[test]
fn a_deallocated_statement_is_forgotten() {
    for text in [
        "DEALLOCATE s",
        "deallocate prepare S",
        "DEALLOCATE ALL",
        "DISCARD ALL",
        "DEALLOCATE \"s\"",
    ] {
        let mut talk = Talk::ready();
        prepare(&mut talk, "s", "SELECT 1");
        prepare(&mut talk, "d", text);
        run(&mut talk, "d");
        assert_forgotten(&mut talk, "s");

        let mut talk = Talk::ready();
        prepare(&mut talk, "s", "SELECT 1");
        talk.command(&query(&format!("BEGIN; {text}; COMMIT")));
        assert_forgotten(&mut talk, "s");
    }
    let mut talk = Talk::ready();
    prepare(&mut talk, "s", "SELECT 1");
    talk.command(&query("DISCARD TEMP; DEALLOCATE other"));
    assert_eq!(run(&mut talk, "s").name, "SELECT");
}

#[test]
fn a_portal_keeps_its_statement() {
    let mut talk = Talk::ready();
    prepare(&mut talk, "s", "SELECT 1");
    prepare(&mut talk, "u", "UPDATE t SET a = 1");
    talk.command(&[bind("p", "s"), bind("", "u"), sync()].concat());
    let command = talk.command(&[execute(""), execute("p"), sync()].concat());
    assert_eq!((command.name.as_ref(), command.key_count), ("SELECT", 2));
    assert_eq!(keys(&command), ["UPDATE t SET a = 1", "SELECT 1"]);
    let command = talk.command(&[close(b'P', "p"), execute("p"), sync()].concat());
    assert_eq!(command.name, "EXECUTE");
}

#[test]
fn a_portal_ends_with_its_transaction() {
    let mut talk = Talk::ready();
    talk.command(&[parse("", "SELECT 1"), bind("p", ""), sync()].concat());
    talk.reply(&[parse_complete(), bind_complete(), ready(b'I')].concat());
    assert_eq!(
        talk.command(&[execute("p"), sync()].concat()).name,
        "EXECUTE"
    );
}

#[test]
fn a_statement_that_failed_to_parse_is_forgotten_and_one_before_it_is_not() {
    let mut talk = Talk::ready();
    talk.command(
        &[
            parse("good", "SELECT 1"),
            parse("bad", "SELEC 2"),
            parse("never", "SELECT 3"),
            sync(),
        ]
        .concat(),
    );
    talk.reply(&[parse_complete(), error("42601", "syntax"), ready(b'I')].concat());
    assert_eq!(run(&mut talk, "good").name, "SELECT");
    assert_forgotten(&mut talk, "bad");
    assert_forgotten(&mut talk, "never");
}

#[test]
fn a_statement_that_was_parsed_anew_outlives_the_failure_before_it() {
    let mut talk = Talk::ready();
    prepare(&mut talk, "s", "SELEC 1");
    prepare(&mut talk, "s", "UPDATE t SET a = 1");
    talk.reply(&[error("42601", "syntax"), ready(b'I')].concat());
    assert_eq!(run(&mut talk, "s").name, "UPDATE");
}

#[test]
fn a_withheld_cycle_is_owed_nothing_and_changes_nothing() {
    let mut talk = Talk::ready();
    prepare(&mut talk, "s", "SELECT 1");
    talk.reply(&[parse_complete(), ready(b'I')].concat());
    let withheld = talk.command(&[close(b'S', "s"), parse("t", "SELECT 2"), sync()].concat());
    talk.dialogue.withhold(withheld.id);
    assert_eq!(talk.dialogue.oldest_pending(), None);
    let command = run(&mut talk, "s");
    assert_eq!(
        (command.name.as_ref(), command.id.0),
        ("SELECT", withheld.id.0 + 1)
    );
    assert_forgotten(&mut talk, "t");
}

#[test]
fn a_cycle_that_is_withheld_at_its_head_changes_nothing_to_its_end() {
    let mut talk = Talk::ready();
    let head = talk
        .dialogue
        .up(&[parse("a", "SELECT 1"), flush()].concat());
    assert!(head.event.is_some());
    talk.dialogue.withhold(touchstone_wire::CommandId(0));
    talk.up(&[parse("b", "SELECT 2"), sync()].concat());
    assert_eq!(talk.dialogue.oldest_pending(), None);
    assert_forgotten(&mut talk, "a");
    assert_forgotten(&mut talk, "b");
    prepare(&mut talk, "c", "SELECT 3");
    assert_eq!(run(&mut talk, "c").name, "SELECT");
}

#[test]
fn withholding_does_not_bring_back_what_had_failed_meanwhile() {
    let mut talk = Talk::ready();
    prepare(&mut talk, "s", "SELEC 1");
    let withheld = prepare(&mut talk, "s", "UPDATE t SET a = 1");
    talk.reply(&[error("42601", "syntax"), ready(b'I')].concat());
    talk.dialogue.withhold(withheld.id);
    assert_forgotten(&mut talk, "s");
}

#[test]
fn withholding_another_command_than_the_last_does_nothing() {
    let mut talk = Talk::ready();
    let first = talk.command(&query("SELECT 1"));
    talk.command(&query("SELECT 2"));
    talk.dialogue.withhold(first.id);
    talk.dialogue.withhold(touchstone_wire::CommandId(7));
    assert_eq!(talk.dialogue.oldest_pending(), Some(first.id));
}

#[test]
fn the_statement_that_was_not_used_for_longest_makes_room() {
    let mut talk = Talk::ready();
    for number in 0..1024 {
        prepare(&mut talk, &format!("s{number}"), "SELECT 1");
    }
    run(&mut talk, "s0");
    prepare(&mut talk, "new", "SELECT 2");
    assert_forgotten(&mut talk, "s1");
    assert_eq!(run(&mut talk, "s0").name, "SELECT");
    assert_eq!(run(&mut talk, "new").name, "SELECT");
}

#[test]
fn a_name_too_long_to_keep_is_not_confused_with_another() {
    let mut talk = Talk::ready();
    let long = "n".repeat(300);
    prepare(&mut talk, &long, "SELECT 1");
    assert_forgotten(&mut talk, &long);
    assert_forgotten(&mut talk, &long[..256]);
}
