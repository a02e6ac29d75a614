//! What holds for any bytes, and for any conversation.

use crate::conversation::{Turn, conversation, greeting, record};
use crate::support::*;
use bytes::BytesMut;
use postgres_protocol::message::backend::Message;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeSet;
use touchstone_wire::postgres::PostgresDialogue;
use touchstone_wire::{Advance, CommandId, Dialogue, Down, Up};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Up,
    Down,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Up(Up),
    Down(Down),
}

/// All events of a script, with the place in their direction's stream.
fn events(script: &[(Side, Vec<u8>)], piece_bytes: &[usize]) -> Vec<(Event, usize)> {
    let mut dialogue = PostgresDialogue::default();
    let (mut up_at, mut down_at) = (0, 0);
    let mut told = Vec::new();
    let mut lengths = piece_bytes.iter().copied().cycle();
    for (side, bytes) in script {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = lengths.next().unwrap_or(usize::MAX).clamp(1, rest.len());
            let (piece, later) = rest.split_at(length);
            rest = later;
            match side {
                Side::Up => drain(piece, &mut up_at, &mut told, |input| {
                    lift(dialogue.up(input), Event::Up)
                }),
                Side::Down => drain(piece, &mut down_at, &mut told, |input| {
                    lift(dialogue.down(input), Event::Down)
                }),
            }
        }
    }
    told
}

fn lift<E>(advance: Advance<E>, wrap: fn(E) -> Event) -> Advance<Event> {
    let (consumed, event) = (advance.consumed, advance.event.map(wrap));
    Advance { consumed, event }
}

fn drain(
    mut piece: &[u8],
    at: &mut usize,
    told: &mut Vec<(Event, usize)>,
    mut step: impl FnMut(&[u8]) -> Advance<Event>,
) {
    let mut without_progress = 0;
    loop {
        let Advance { consumed, event } = step(piece);
        piece = &piece[consumed..];
        *at += consumed;
        without_progress = if consumed == 0 {
            without_progress + 1
        } else {
            0
        };
        assert!(without_progress < 4, "it does not go on");
        match event {
            Some(event) => told.push((event, *at)),
            None => break,
        }
    }
    assert!(piece.is_empty(), "without an event all is consumed");
}

/// Heads and ends alternate, ids go up by one, and the sizes are the distances.
fn assert_well_told(told: &[(Event, usize)]) {
    let (mut begun, mut next, mut boundary) = (None, 0, 0);
    for (event, at) in told {
        let Event::Up(event) = event else { continue };
        match event {
            Up::Head(command) => {
                assert_eq!((begun, command.id), (None, CommandId(next)));
                begun = Some(command.id);
            }
            Up::End { id, bytes } => {
                assert_eq!(begun.take(), Some(*id));
                assert_eq!(*bytes, (at - boundary) as u64);
                (next, boundary) = (next + 1, *at);
            }
            Up::Aside => {
                assert_eq!(begun, None);
                boundary = *at;
            }
            Up::Lost(_) => {}
        }
    }
    let (mut begun, mut last, mut boundary) = (None, None, 0);
    for (event, at) in told {
        let Event::Down(event) = event else { continue };
        match event {
            Down::Head(id) => {
                assert!(begun.is_none() && last < Some(*id));
                (begun, last) = (Some(*id), Some(*id));
            }
            Down::End { id, reply, .. } => {
                assert_eq!(begun.take(), Some(*id));
                assert_eq!(reply.bytes, (at - boundary) as u64);
                boundary = *at;
            }
            Down::Aside => {
                assert_eq!(begun, None);
                boundary = *at;
            }
            Down::Lost(_) => {}
        }
    }
    let losses = told.iter().filter(|(event, _)| is_loss(event)).count();
    assert!(losses <= 1, "a loss comes once");
}

fn is_loss(event: &Event) -> bool {
    matches!(event, Event::Up(Up::Lost(_)) | Event::Down(Down::Lost(_)))
}

/// Something a client might send, or might not.
fn up_bytes() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        Just("SELECT 1; COMMIT".to_owned()),
        Just("DEALLOCATE ALL".to_owned()),
        "[ -/*';$a(\\\\\"]{0,40}",
        (1000..1100usize).prop_map(|length| "x".repeat(length)),
        (1000..1100usize).prop_map(|length| format!("{} x", "/**/".repeat(length / 4))),
    ];
    let name = prop_oneof![Just(""), Just("a"), Just("b")];
    prop_oneof![
        2 => text.clone().prop_map(|text| query(&text)),
        3 => (name.clone(), text).prop_map(|(name, text)| parse(name, &text)),
        3 => (name.clone(), name.clone(), 0..70_000usize).prop_map(|(a, b, bytes)| bind_with(a, b, bytes % 50)),
        1 => (name.clone(), name.clone(), 60_000..70_000usize).prop_map(|(a, b, bytes)| bind_with(a, b, bytes)),
        3 => name.clone().prop_map(execute),
        1 => (prop_oneof![Just(b'S'), Just(b'P')], name.clone()).prop_map(|(target, name)| describe(target, name)),
        1 => (prop_oneof![Just(b'S'), Just(b'P')], name).prop_map(|(target, name)| close(target, name)),
        5 => Just(sync()),
        1 => Just(flush()),
        1 => Just(terminate()),
        1 => (0..300usize).prop_map(copy_data),
        1 => Just(copy_done()),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|body| message(b'Q', &body)),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|body| message(b'P', &body)),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|body| message(b'D', &body)),
        1 => Just(message(b'F', &[0; 9])),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ]
}

/// Something a server might send, or might not.
fn down_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        5 => prop_oneof![Just(b'I'), Just(b'T'), Just(b'E')].prop_map(ready),
        1 => Just(parse_complete()),
        1 => Just(bind_complete()),
        1 => Just(message(b's', &[])),
        2 => (0..100usize).prop_map(row),
        2 => prop_oneof![Just("SELECT 3"), Just("BEGIN"), Just("")].prop_map(complete),
        1 => "\\PC{0,300}".prop_map(|text| error("12345", &text)),
        1 => Just(notice("n")),
        1 => Just(copy_in_response()),
        1 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..9)).prop_map(|(kind, body)| message(kind, &body)),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ]
}

fn script() -> impl Strategy<Value = Vec<(Side, Vec<u8>)>> {
    let segment = prop_oneof![
        3 => up_bytes().prop_map(|bytes| (Side::Up, bytes)),
        2 => down_bytes().prop_map(|bytes| (Side::Down, bytes)),
    ];
    let begin = vec![(Side::Up, startup()), (Side::Down, greeting())];
    prop::collection::vec(segment, 0..30)
        .prop_map(move |segments| [begin.clone(), segments].concat())
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..4usize, 1..80usize, 1..70_000usize], 1..8)
}

proptest! {
    #[test]
    fn any_bytes_split_anywhere_are_told_the_same(
        segments in prop::collection::vec(
            (prop_oneof![Just(Side::Up), Just(Side::Down)], prop::collection::vec(any::<u8>(), 0..60)), 0..8),
        pieces in pieces(),
    ) {
        let whole = events(&segments, &[usize::MAX]);
        assert_well_told(&whole);
        prop_assert_eq!(events(&segments, &pieces), whole);
    }

    #[test]
    fn any_messages_split_anywhere_are_told_the_same(script in script(), pieces in pieces()) {
        let whole = events(&script, &[usize::MAX]);
        assert_well_told(&whole);
        prop_assert_eq!(&events(&script, &pieces), &whole);
        prop_assert_eq!(&events(&script, &[1]), &whole);
    }

    #[test]
    fn a_valid_conversation_is_told_as_it_was_meant(
        turns in conversation(),
        depth in 1..6usize,
        pieces in pieces(),
    ) {
        let mut told = Vec::new();
        let mut talk = Talk::ready();
        for pipelined in turns.chunks(depth) {
            let up: Vec<u8> = pipelined.iter().flat_map(Turn::up).copied().collect();
            let down: Vec<u8> = pipelined.iter().flat_map(Turn::down).copied().collect();
            record(&mut talk, &up, &down, &pieces, &mut told);
            prop_assert_eq!(talk.dialogue.oldest_pending(), None);
            prop_assert!(talk.dialogue.down_is_between());
        }
        prop_assert_eq!(talk.dialogue.lost(), None);
        prop_assert_eq!(told.len(), turns.len());
        for (turn, told) in turns.iter().zip(&told) {
            turn.assert_told(told);
        }
    }

    #[test]
    fn replies_end_where_postgres_protocol_sees_a_message_end(turns in conversation(), cut in any::<Index>()) {
        let up: Vec<u8> = turns.iter().flat_map(Turn::up).copied().collect();
        let mut down = greeting();
        down.extend(turns.iter().flat_map(Turn::down));
        down.truncate(cut.index(down.len() + 1));
        let script = [(Side::Up, startup()), (Side::Up, up), (Side::Down, down.clone())];
        let told = events(&script, &[usize::MAX]);
        let (boundaries, replies) = boundaries(&down);
        let places = told.iter().filter_map(|(event, at)| match event {
            Event::Down(Down::End { .. } | Down::Aside) => Some(*at),
            _ => None,
        });
        prop_assert!(places.collect::<BTreeSet<_>>().is_subset(&boundaries));
        let ended = told.iter().filter(|(event, _)| matches!(event, Event::Down(Down::End { .. })));
        // The first ReadyForQuery ends the start-up.
        prop_assert_eq!(ended.count(), replies.saturating_sub(1));
    }
}

/// Where messages end, and how many of them are ReadyForQuery, in the opinion of postgres-protocol.
fn boundaries(bytes: &[u8]) -> (BTreeSet<usize>, usize) {
    let mut rest = BytesMut::from(bytes);
    let (mut places, mut replies) = (BTreeSet::new(), 0);
    while let Some(message) = Message::parse(&mut rest).expect("only valid messages were encoded") {
        places.insert(bytes.len() - rest.len());
        replies += usize::from(matches!(message, Message::ReadyForQuery(_)));
    }
    (places, replies)
}
