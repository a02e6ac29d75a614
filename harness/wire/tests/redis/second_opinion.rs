//! Where messages end, by the opinion of another decoder.
//!
//! On valid bytes both must agree. On damaged ones each may refuse what the other takes, but where both see an
//! end it is the same, and neither waits for more where the other sees an end.

use proptest::prelude::*;
use redis_protocol::{resp2, resp3};
use touchstone_wire::redis::RedisDialogue;
use touchstone_wire::{Dialogue, Down, Lost, Up};

use crate::exchange;
use crate::samples;

/// What a decoder says of the first message in some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opinion {
    Ends(usize),
    Incomplete,
    Refused,
}

fn ours(bytes: &[u8]) -> Opinion {
    let mut dialogue = RedisDialogue::default();
    dialogue.up(b"GET k\n");
    for (at, event) in exchange::down(&mut dialogue, bytes, usize::MAX) {
        match event {
            Down::Head(_) => {}
            Down::End { .. } | Down::Aside => return Opinion::Ends(at),
            Down::Lost(Lost::UnaskedReply) => panic!("a reply was asked for"),
            Down::Lost(_) => return Opinion::Refused,
        }
    }
    Opinion::Incomplete
}

fn ours_of_a_command(bytes: &[u8]) -> Opinion {
    for (at, event) in exchange::up(&mut RedisDialogue::default(), bytes, usize::MAX) {
        match event {
            Up::Head(_) => {}
            Up::End { .. } | Up::Aside => return Opinion::Ends(at),
            Up::Lost(_) => return Opinion::Refused,
        }
    }
    Opinion::Incomplete
}

fn opinion<F, E>(decoded: Result<Option<(F, usize)>, E>) -> Opinion {
    match decoded {
        Ok(Some((_, length))) => Opinion::Ends(length),
        Ok(None) => Opinion::Incomplete,
        Err(_) => Opinion::Refused,
    }
}

fn theirs2(bytes: &[u8]) -> Opinion {
    opinion(resp2::decode::decode(bytes))
}

fn theirs3(bytes: &[u8]) -> Opinion {
    opinion(resp3::decode::complete::decode(bytes))
}

#[track_caller]
fn do_not_contradict(ours: Opinion, theirs: Opinion) {
    if ours != Opinion::Refused && theirs != Opinion::Refused {
        assert_eq!(ours, theirs);
    }
}

proptest! {
    #[test]
    fn both_see_the_same_end_of_a_reply(
        value in samples::resp2(),
        more in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = value.bytes();
        let length = bytes.len();
        if more {
            bytes.extend_from_slice(b"+more\r\n");
        }
        prop_assert_eq!(ours(&bytes), Opinion::Ends(length));
        prop_assert_eq!(theirs2(&bytes), Opinion::Ends(length));
        let part = &bytes[..cut.index(length)];
        prop_assert_eq!(ours(part), Opinion::Incomplete);
        prop_assert_eq!(theirs2(part), Opinion::Incomplete);
    }

    #[test]
    fn both_see_the_same_end_of_a_reply_of_the_newer_protocol(
        value in samples::resp3(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = value.bytes();
        prop_assert_eq!(ours(&bytes), Opinion::Ends(bytes.len()));
        do_not_contradict(ours(&bytes), theirs3(&bytes));
        let part = &bytes[..cut.index(bytes.len())];
        do_not_contradict(ours(part), theirs3(part));
    }

    #[test]
    fn they_do_not_contradict_each_other_on_damaged_replies(
        value in samples::resp3(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = value.bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        do_not_contradict(ours(&bytes), theirs3(&bytes));
        do_not_contradict(ours(&bytes), theirs2(&bytes));
    }

    #[test]
    fn they_do_not_contradict_each_other_on_commands(bytes in samples::requests()) {
        // A line that is no array is a command to us, and none to them.
        if bytes.first() == Some(&b'*') {
            do_not_contradict(ours_of_a_command(&bytes), theirs2(&bytes));
        }
    }
}
