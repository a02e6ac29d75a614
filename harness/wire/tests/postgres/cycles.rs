//! Cycles and their replies, as drivers send them.

use crate::support::*;
use touchstone_wire::limits::{HEAD_BYTES_MAX, KEY_BYTES_MAX};
use touchstone_wire::{CommandId, Dialogue, Down, Lost, ReplyKind, Up};

#[test]
fn a_simple_query_is_a_command_with_its_text() {
    let mut talk = Talk::ready();
    let command = talk.command(&query("select * from users"));
    assert_eq!(command.name, "SELECT");
    assert_eq!(keys(&command), ["select * from users"]);
    assert_eq!((command.key_count, command.argument_count), (1, 1));
    assert!(command.is_whole && !command.in_transaction);
    assert_eq!(talk.dialogue.oldest_pending(), Some(CommandId(0)));
    let reply = [
        row_description(),
        row(4),
        row(4),
        complete("SELECT 2"),
        ready(b'I'),
    ]
    .concat();
    assert_eq!(talk.reply(&reply), ReplyKind::Rows(2));
    assert_eq!(talk.dialogue.oldest_pending(), None);
}

#[test]
fn the_first_word_is_found_behind_comments_and_parentheses() {
    let texts = [
        ("-- who\n /* why /* nested */ */ ((select 1))", "SELECT"),
        ("  \tbEgIn", "BEGIN"),
        ("(values (1))", "VALUES"),
        ("-5", "QUERY"),
        ("", "QUERY"),
        (" ; ;-- nothing", "QUERY"),
        ("/**/ update t set a = 1", "UPDATE"),
        ("commit;", "COMMIT"),
    ];
    for (text, name) in texts {
        let command = Talk::ready().command(&query(text));
        assert_eq!(command.name, name, "of {text:?}");
        assert!(command.is_whole);
    }
}

#[test]
fn several_statements_in_a_text_are_told_apart_and_the_last_one_names_them() {
    let text = "BEGIN; INSERT INTO t VALUES ('a;b', $$c;d$$, $x$;$$;$x$, E'\\';', \"e;f\" /* ; */); -- ;\nCOMMIT;";
    let command = Talk::ready().command(&query(text));
    assert_eq!(command.name, "COMMIT");
    assert_eq!(command.key_count, 3);
    let keys = keys(&command);
    assert_eq!(keys[0], "BEGIN");
    assert!(keys[1].starts_with("INSERT INTO") && keys[1].ends_with(')'));
    assert!(keys[2].ends_with("COMMIT"));
}

#[test]
fn the_body_of_a_function_is_one_statement() {
    let text = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END";
    let command = Talk::ready().command(&query(text));
    assert_eq!((command.name.as_ref(), command.key_count), ("CREATE", 1));
}

#[test]
fn preparing_is_named_after_what_it_does_and_executing_after_the_statement() {
    let mut talk = Talk::ready();
    let prepare = [parse("s0", "SELECT $1::int"), describe(b'S', "s0"), sync()].concat();
    let command = talk.command(&prepare);
    assert_eq!(
        (command.name.as_ref(), command.argument_count),
        ("PARSE", 3)
    );
    assert_eq!(keys(&command), ["SELECT $1::int"]);
    let described = [
        parse_complete(),
        message(b't', &[0, 0]),
        row_description(),
        ready(b'I'),
    ]
    .concat();
    assert_eq!(talk.reply(&described), ReplyKind::Done);

    let command = talk.command(&[bind("", "s0"), execute(""), sync()].concat());
    assert_eq!(
        (command.name.as_ref(), command.id),
        ("SELECT", CommandId(1))
    );
    assert_eq!(keys(&command), ["SELECT $1::int"]);
    assert!(command.is_whole);
    let reply = [bind_complete(), row(4), complete("SELECT 1"), ready(b'I')].concat();
    assert_eq!(talk.reply(&reply), ReplyKind::Rows(1));
}

#[test]
fn a_typed_query_in_one_cycle_is_named_after_its_statement() {
    let mut talk = Talk::ready();
    let text = "INSERT INTO t VALUES ($1)";
    let cycle = [
        parse("", text),
        bind("", ""),
        describe(b'P', ""),
        execute(""),
        sync(),
    ]
    .concat();
    let command = talk.command(&cycle);
    assert_eq!((command.name.as_ref(), command.key_count), ("INSERT", 1));
    let reply = [
        parse_complete(),
        bind_complete(),
        message(b'n', &[]),
        complete("INSERT 0 3"),
        ready(b'I'),
    ];
    assert_eq!(talk.reply(&reply.concat()), ReplyKind::Rows(3));
}

#[test]
fn what_executes_nothing_is_named_after_its_message() {
    let mut talk = Talk::ready();
    assert_eq!(talk.command(&sync()).name, "SYNC");
    assert_eq!(
        talk.command(&[close(b'S', "s"), sync()].concat()).name,
        "CLOSE"
    );
    assert_eq!(
        talk.command(&[describe(b'P', ""), sync()].concat()).name,
        "DESCRIBE"
    );
    assert_eq!(talk.command(&[bind("", ""), sync()].concat()).name, "BIND");
    assert_eq!(talk.command(&message(b'F', &[0; 12])).name, "FUNCTION");
}

#[test]
fn pipelined_cycles_get_their_replies_in_order() {
    let mut talk = Talk::ready();
    let one = [parse("", "SELECT 1"), bind("", ""), execute(""), sync()].concat();
    let two = query("UPDATE t SET a = 1");
    let events = talk.up(&[one.clone(), two, one].concat());
    let names: Vec<_> = events.iter().filter_map(name_of).collect();
    assert_eq!(names, ["SELECT", "UPDATE", "SELECT"]);

    let failed = [
        parse_complete(),
        error("22012", "division by zero"),
        ready(b'I'),
    ]
    .concat();
    let kind = ReplyKind::Error("22012 division by zero".into());
    assert_eq!(talk.reply_to(&failed), (CommandId(0), kind));
    let updated = [complete("UPDATE 7"), ready(b'I')].concat();
    assert_eq!(talk.reply_to(&updated), (CommandId(1), ReplyKind::Rows(7)));
    assert_eq!(talk.dialogue.oldest_pending(), Some(CommandId(2)));
}

fn name_of(event: &Up) -> Option<&str> {
    match event {
        Up::Head(command) => Some(command.name.as_ref()),
        _ => None,
    }
}

#[test]
fn the_state_of_the_last_ready_for_query_is_that_of_the_next_command() {
    let mut talk = Talk::ready();
    assert!(!talk.command(&query("BEGIN")).in_transaction);
    assert_eq!(
        talk.reply(&[complete("BEGIN"), ready(b'T')].concat()),
        ReplyKind::Done
    );
    assert!(talk.command(&query("SELECT oops")).in_transaction);
    talk.reply(&[error("42703", "column"), ready(b'E')].concat());
    assert!(talk.command(&query("ROLLBACK")).in_transaction);
    talk.reply(&[complete("ROLLBACK"), ready(b'I')].concat());
    assert!(!talk.command(&query("SELECT 1")).in_transaction);
}

#[test]
fn rows_are_counted_by_the_tag_of_the_last_statement() {
    let tags = [
        ("SELECT 5", ReplyKind::Rows(5)),
        ("INSERT 0 1", ReplyKind::Rows(1)),
        ("UPDATE 2", ReplyKind::Rows(2)),
        ("DELETE 0", ReplyKind::Rows(0)),
        ("MERGE 4", ReplyKind::Rows(4)),
        ("COPY 9", ReplyKind::Rows(9)),
        ("FETCH 3", ReplyKind::Rows(3)),
        ("MOVE 6", ReplyKind::Rows(6)),
        ("CREATE TABLE", ReplyKind::Done),
        ("COMMIT", ReplyKind::Done),
        ("SELECT 99999999999999999999999", ReplyKind::Done),
    ];
    for (tag, kind) in tags {
        let mut talk = Talk::ready();
        talk.command(&query("SELECT 1; ?"));
        let reply = [complete("SELECT 8"), complete(tag), ready(b'I')].concat();
        assert_eq!(talk.reply(&reply), kind, "of {tag}");
    }
}

#[test]
fn a_suspended_portal_counts_the_rows_that_it_sent() {
    let mut talk = Talk::ready();
    talk.command(&[parse("", "SELECT 1"), bind("", ""), execute(""), sync()].concat());
    let reply = [
        parse_complete(),
        bind_complete(),
        row(1),
        row(1),
        message(b's', &[]),
        ready(b'T'),
    ]
    .concat();
    assert_eq!(talk.reply(&reply), ReplyKind::Rows(2));
}

#[test]
fn notices_between_replies_are_aside_and_inside_a_reply_a_part_of_it() {
    let mut talk = Talk::ready();
    assert_eq!(talk.down(&notification()), [Down::Aside]);
    talk.command(&query("SET timezone = 'UTC'"));
    assert_eq!(talk.down(&notice("before")), [Down::Aside]);
    assert!(talk.dialogue.down_is_between());
    let reply = [
        complete("SET"),
        parameter("TimeZone", "UTC"),
        notice("inside"),
        ready(b'I'),
    ]
    .concat();
    assert_eq!(talk.reply(&reply), ReplyKind::Done);
    assert_eq!(talk.down(&parameter("a", "b")), [Down::Aside]);
}

fn notification() -> Vec<u8> {
    message(b'A', b"\0\0\0\x01channel\0payload\0")
}

#[test]
fn a_reply_begins_with_the_header_of_its_first_message() {
    let mut talk = Talk::ready();
    talk.command(&query("SELECT 1"));
    let reply = [row(1000), complete("SELECT 1"), ready(b'I')].concat();
    let advance = talk.dialogue.down(&reply);
    assert_eq!(
        (advance.consumed, advance.event),
        (5, Some(Down::Head(CommandId(0))))
    );
    assert!(!talk.dialogue.down_is_between());
}

#[test]
fn a_long_text_is_known_by_its_begin() {
    let mut talk = Talk::ready();
    let text = format!("SELECT '{}'", "x".repeat(10 * HEAD_BYTES_MAX));
    let cycle = query(&text);
    let advance = talk.dialogue.up(&cycle);
    let Some(Up::Head(command)) = advance.event else {
        panic!("seen {:?}", advance.event)
    };
    assert_eq!(advance.consumed, 5 + KEY_BYTES_MAX + 1);
    assert_eq!((command.name.as_ref(), command.is_whole), ("SELECT", false));
    assert_eq!(keys(&command), [&text[..KEY_BYTES_MAX]]);
    let bytes = cycle.len() as u64;
    assert_eq!(
        talk.up(&cycle[advance.consumed..]),
        [Up::End {
            id: CommandId(0),
            bytes
        }]
    );
}

#[test]
fn a_text_of_just_the_kept_length_is_whole() {
    let text = format!("SELECT '{}'", "x".repeat(KEY_BYTES_MAX - 9));
    assert_eq!(text.len(), KEY_BYTES_MAX);
    let command = Talk::ready().command(&query(&text));
    assert!(command.is_whole);
}

#[test]
fn a_first_word_behind_a_long_comment_is_waited_for() {
    let text = format!("/* {} */ DELETE FROM t", "x".repeat(5000));
    let command = Talk::ready().command(&query(&text));
    assert_eq!((command.name.as_ref(), command.is_whole), ("DELETE", false));
    let text = format!("/* {} */ DELETE FROM t", "x".repeat(2 * HEAD_BYTES_MAX));
    let command = Talk::ready().command(&query(&text));
    assert_eq!((command.name.as_ref(), command.is_whole), ("QUERY", false));
}

#[test]
fn a_large_parameter_does_not_hide_its_statement() {
    let mut talk = Talk::ready();
    talk.command(&[parse("s", "INSERT INTO t VALUES ($1)"), sync()].concat());
    let cycle = [bind_with("", "s", 3 * HEAD_BYTES_MAX), execute(""), sync()].concat();
    let advance = talk.dialogue.up(&cycle);
    let Some(Up::Head(command)) = advance.event else {
        panic!("seen {:?}", advance.event)
    };
    assert_eq!(advance.consumed, HEAD_BYTES_MAX);
    assert_eq!((command.name.as_ref(), command.is_whole), ("INSERT", false));
    assert_eq!(keys(&command), ["INSERT INTO t VALUES ($1)"]);
}

#[test]
fn a_flush_makes_what_came_so_far_known_and_the_cycle_goes_on() {
    let mut talk = Talk::ready();
    let events = talk.up(&[parse("", "SELECT 1"), describe(b'S', ""), flush()].concat());
    let [Up::Head(command)] = events.as_slice() else {
        panic!("seen {events:?}")
    };
    assert_eq!((command.name.as_ref(), command.is_whole), ("PARSE", false));
    let first = talk.down(&[parse_complete(), row_description()].concat());
    assert_eq!(first, [Down::Head(CommandId(0))]);
    let events = talk.up(&[bind("", ""), execute(""), sync()].concat());
    assert!(matches!(
        events.as_slice(),
        [Up::End {
            id: CommandId(0),
            ..
        }]
    ));
    let events = talk.down(&[bind_complete(), complete("SELECT 0"), ready(b'I')].concat());
    assert!(matches!(
        events.as_slice(),
        [Down::End {
            id: CommandId(0),
            ..
        }]
    ));
}

#[test]
fn a_flush_alone_asks_nothing() {
    assert_eq!(Talk::ready().up(&flush()), [Up::Aside]);
}

#[test]
fn an_error_that_comes_before_the_sync_belongs_to_the_cycle_that_is_being_sent() {
    let mut talk = Talk::ready();
    assert_eq!(talk.up(&parse("", "SELEC 1")), []);
    assert_eq!(
        talk.down(&error("42601", "syntax error")),
        [Down::Head(CommandId(0))]
    );
    let events = talk.up(&sync());
    assert!(matches!(
        events.as_slice(),
        [
            Up::Head(_),
            Up::End {
                id: CommandId(0),
                ..
            }
        ]
    ));
    let events = talk.down(&ready(b'I'));
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
    assert_eq!(reply.kind, ReplyKind::Error("42601 syntax error".into()));
}

#[test]
fn rows_of_any_size_stream_through() {
    let mut talk = Talk::ready();
    talk.command(&query("SELECT big"));
    let header = [&[b'D'][..], &(1u32 << 30).to_be_bytes()].concat();
    assert_eq!(talk.down(&header), [Down::Head(CommandId(0))]);
    let piece = vec![0; 1 << 20];
    for _ in 0..1023 {
        assert_eq!(talk.down(&piece), []);
    }
    assert_eq!(talk.down(&piece[..(1 << 20) - 4]), []);
    let events = talk.down(&[complete("SELECT 1"), ready(b'I')].concat());
    let [Down::End { reply, .. }] = events.as_slice() else {
        panic!("seen {events:?}")
    };
    assert_eq!(reply.bytes, (1 << 30) + 1 + 14 + 6);
}

#[test]
fn a_reply_that_nobody_asked_for_is_lost() {
    let mut talk = Talk::ready();
    assert_eq!(
        talk.down(&complete("SELECT 1")),
        [Down::Lost(Lost::UnaskedReply)]
    );
}
