//! COPY, in all its directions.

use crate::support::*;
use touchstone_wire::{CommandId, Dialogue, Down, Lost, ReplyKind, Up};

#[test]
fn the_data_of_a_simple_copy_are_aside_and_its_reply_ends_behind_them() {
    let mut talk = Talk::ready();
    assert_eq!(talk.command(&query("COPY t FROM STDIN")).name, "COPY");
    assert_eq!(talk.down(&copy_in_response()), [Down::Head(CommandId(0))]);
    let data = [copy_data(70_000), copy_data(3), copy_done()].concat();
    assert_eq!(talk.up(&data), [Up::Aside, Up::Aside, Up::Aside]);
    let events = talk.down(&[complete("COPY 2"), ready(b'I')].concat());
    let [
        Down::End {
            id: CommandId(0),
            reply,
            ..
        },
    ] = events.as_slice()
    else {
        panic!("seen {events:?}")
    };
    assert_eq!(reply.kind, ReplyKind::Rows(2));
    assert_eq!(talk.command(&query("SELECT 1")).id, CommandId(1));
}

/// tokio-postgres sends Sync with the command and again behind the data; the server ignores the first.
fn extended_copy(talk: &mut Talk) {
    talk.command(&[parse("s", "COPY t FROM STDIN"), sync()].concat());
    talk.reply(&[parse_complete(), ready(b'I')].concat());
    let command = talk.command(&[bind("", "s"), execute(""), sync()].concat());
    assert_eq!((command.name.as_ref(), command.id), ("COPY", CommandId(1)));
}

#[test]
fn the_sync_before_the_data_of_an_extended_copy_is_answered_by_that_behind_them() {
    let mut talk = Talk::ready();
    extended_copy(&mut talk);
    let begun = talk.down(&[bind_complete(), copy_in_response()].concat());
    assert_eq!(begun, [Down::Head(CommandId(1))]);
    let data = [copy_data(10), copy_done(), sync()].concat();
    assert_eq!(talk.up(&data), [Up::Aside, Up::Aside, Up::Aside]);
    let events = talk.down(&[complete("COPY 1"), ready(b'I')].concat());
    assert!(matches!(
        events.as_slice(),
        [Down::End {
            id: CommandId(1),
            ..
        }]
    ));
    assert_eq!(talk.dialogue.oldest_pending(), None);
    let command = talk.command(&query("SELECT 1"));
    assert_eq!(command.id, CommandId(2));
    assert_eq!(
        talk.reply_to(&[complete("SELECT 1"), ready(b'I')].concat())
            .0,
        CommandId(2)
    );
}

#[test]
fn an_extended_copy_that_fails_at_once_answers_both_syncs() {
    let mut talk = Talk::ready();
    extended_copy(&mut talk);
    let failed = [error("42P01", "no such table"), ready(b'I')].concat();
    assert_eq!(talk.reply_to(&failed).0, CommandId(1));
    let events = talk.up(&[copy_fail(""), sync()].concat());
    assert!(matches!(
        events.as_slice(),
        [
            Up::Aside,
            Up::Head(_),
            Up::End {
                id: CommandId(2),
                ..
            }
        ]
    ));
    assert_eq!(talk.down(&ready(b'I')).len(), 2);
    assert_eq!(talk.dialogue.oldest_pending(), None);
}

#[test]
fn an_extended_copy_that_fails_among_its_data_answers_the_second_sync() {
    let mut talk = Talk::ready();
    extended_copy(&mut talk);
    talk.down(&copy_in_response());
    talk.up(&copy_data(10));
    assert_eq!(talk.down(&error("22P04", "bad data")), []);
    let rest = [copy_data(10), copy_fail("sorry"), sync()].concat();
    assert_eq!(talk.up(&rest), [Up::Aside, Up::Aside, Up::Aside]);
    assert!(matches!(
        talk.down(&ready(b'I')).as_slice(),
        [Down::End {
            id: CommandId(1),
            ..
        }]
    ));
}

/// "cannot copy to view", or a trigger: the first Sync is not read as a part of the data, and is answered.
fn refused_after_its_begin(talk: &mut Talk) {
    extended_copy(talk);
    talk.down(&[bind_complete(), copy_in_response()].concat());
    let crossing = [copy_data(3), copy_fail(""), sync()].concat();
    assert_eq!(talk.up(&crossing), [Up::Aside, Up::Aside, Up::Aside]);
    assert_eq!(talk.down(&error("42809", "cannot copy to view")), []);
    let events = talk.down(&ready(b'I'));
    assert!(matches!(
        events.as_slice(),
        [Down::End {
            id: CommandId(1),
            ..
        }]
    ));
}

#[test]
fn a_copy_refused_after_its_begin_may_answer_both_syncs() {
    let mut talk = Talk::ready();
    refused_after_its_begin(&mut talk);
    assert_eq!(talk.down(&ready(b'I')), [Down::Aside]);
    assert_eq!(
        talk.down(&ready(b'I')),
        [Down::Lost(Lost::UnaskedReply)],
        "only one"
    );
}

#[test]
fn a_second_answer_to_a_copy_is_not_taken_for_the_next_reply() {
    let mut talk = Talk::ready();
    refused_after_its_begin(&mut talk);
    talk.command(&query("SELECT 1"));
    assert_eq!(talk.down(&ready(b'I')), [Down::Aside]);
    let (id, _) = talk.reply_to(&[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(id, CommandId(2));

    let mut talk = Talk::ready();
    refused_after_its_begin(&mut talk);
    talk.command(&sync());
    assert_eq!(talk.reply_to(&ready(b'I')).0, CommandId(2));
    assert_eq!(talk.down(&ready(b'I')), [Down::Aside]);
}

#[test]
fn without_a_second_answer_to_a_copy_the_next_reply_is_the_next() {
    let mut talk = Talk::ready();
    refused_after_its_begin(&mut talk);
    talk.command(&query("SELECT 1"));
    let (id, _) = talk.reply_to(&[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(id, CommandId(2));
    assert_eq!(talk.down(&ready(b'I')), [Down::Lost(Lost::UnaskedReply)]);
}

#[test]
fn a_copy_that_was_begun_with_a_flush_is_one_cycle() {
    let mut talk = Talk::ready();
    let begin = [
        parse("", "COPY t FROM STDIN"),
        bind("", ""),
        execute(""),
        flush(),
    ]
    .concat();
    assert!(matches!(talk.up(&begin).as_slice(), [Up::Head(_)]));
    talk.down(&[parse_complete(), bind_complete(), copy_in_response()].concat());
    let rest = [copy_data(10), flush(), sync(), copy_done(), sync()].concat();
    let bytes = (begin.len() + rest.len()) as u64;
    assert_eq!(
        talk.up(&rest),
        [Up::End {
            id: CommandId(0),
            bytes
        }]
    );
    let events = talk.down(&[complete("COPY 1"), ready(b'I')].concat());
    assert!(matches!(
        events.as_slice(),
        [Down::End {
            id: CommandId(0),
            ..
        }]
    ));
}

#[test]
fn commands_sent_into_a_running_copy_are_given_up() {
    let mut talk = Talk::ready();
    talk.command(&query("COPY t FROM STDIN"));
    talk.down(&copy_in_response());
    assert_eq!(
        talk.up(&query("SELECT 1")),
        [Up::Lost(Lost::NotTheProtocol)]
    );

    let mut talk = Talk::ready();
    talk.up(&[query("COPY t FROM STDIN"), query("SELECT 1")].concat());
    assert_eq!(
        talk.down(&copy_in_response()),
        [Down::Lost(Lost::NotTheProtocol)]
    );
}

#[test]
fn the_data_of_a_copy_to_the_client_are_a_part_of_the_reply() {
    let mut talk = Talk::ready();
    talk.command(&query("COPY t TO STDOUT"));
    let data = [
        message(b'H', &[0, 0, 0]),
        message(b'd', b"1\n"),
        message(b'c', &[]),
    ]
    .concat();
    let reply = [data, complete("COPY 1"), ready(b'I')].concat();
    assert_eq!(talk.reply(&reply), ReplyKind::Rows(1));
}

#[test]
fn replication_is_another_stream() {
    let mut talk = Talk::ready();
    assert_eq!(
        talk.command(&query("START_REPLICATION 0/0")).name,
        "START_REPLICATION"
    );
    assert_eq!(
        talk.down(&message(b'W', &[0, 0, 0])),
        [Down::Lost(Lost::OtherStream)]
    );
    assert_eq!(talk.up(b"anything"), []);
}
