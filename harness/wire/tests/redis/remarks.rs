//! What is told of commands beside their names and keys: expiry, and what a client says of itself.

use crate::exchange::{array, command};
use proptest::prelude::*;
use touchstone_wire::redis::RedisDialogue;
use touchstone_wire::{ClientNote, Dialogue, Expiry, Remark, Up};

/// The remark on each command of a stream that comes in pieces of that many bytes.
fn remarks(bytes: &[u8], piece: usize) -> Vec<Remark> {
    let mut dialogue = RedisDialogue::default();
    let mut remarks = Vec::new();
    for mut rest in bytes.chunks(piece) {
        loop {
            let step = dialogue.up(rest);
            rest = &rest[step.consumed..];
            match step.event {
                Some(Up::End { .. }) => remarks.push(dialogue.take_remark()),
                Some(_) => {}
                None => break,
            }
        }
    }
    remarks
}

#[track_caller]
fn remark(bytes: &[u8]) -> Remark {
    let whole = remarks(bytes, usize::MAX);
    for piece in [1, 3] {
        assert_eq!(remarks(bytes, piece), whole, "in pieces of {piece}");
    }
    assert_eq!(whole.len(), 1);
    whole.into_iter().next().expect("one")
}

fn expiry(words: &str) -> Option<Expiry> {
    let remark = remark(&command(words));
    assert_eq!(remark.client, None);
    remark.expiry
}

fn client(words: &str) -> Option<ClientNote> {
    let remark = remark(&command(words));
    assert_eq!(remark.expiry, None);
    remark.client
}

#[test]
fn a_value_that_is_set_with_its_expiry_is_told_from_one_without() {
    for words in [
        "SETEX k 10 v",
        "psetex k 10 v",
        "SET k v EX 10",
        "SET k v nx px 10",
        "SET k v GET EXAT 10",
        "SET k v PXAT 10 XX",
        "RESTORE k 10 dump",
    ] {
        assert_eq!(expiry(words), Some(Expiry::WithValue), "{words}");
    }
    for words in [
        "SET k v",
        "SET k v NX",
        "SET EX PX",
        "SET k EX",
        "RESTORE k 0 d",
        "SETNX k v",
    ] {
        assert_eq!(expiry(words), None, "{words}");
    }
    assert_eq!(expiry("SET k v XX KEEPTTL"), Some(Expiry::Kept));
}

#[test]
fn an_expiry_of_its_own_is_told_from_its_end() {
    for words in [
        "EXPIRE k 1",
        "pexpire k 1 NX",
        "EXPIREAT k 1",
        "PEXPIREAT k 1",
    ] {
        assert_eq!(expiry(words), Some(Expiry::Alone), "{words}");
    }
    assert_eq!(expiry("GETEX k PX 10"), Some(Expiry::Alone));
    assert_eq!(expiry("GETEX k"), None);
    assert_eq!(expiry("GETEX k PERSIST"), Some(Expiry::Removed));
    assert_eq!(expiry("PERSIST k"), Some(Expiry::Removed));
    assert_eq!(expiry("EXPIRETIME k"), None);
}

#[test]
fn a_client_tells_its_library_its_version_and_its_name() {
    let library = ClientNote::Library("redis-rs".into());
    assert_eq!(client("CLIENT SETINFO LIB-NAME redis-rs"), Some(library));
    let version = ClientNote::LibraryVersion("1.8.1".into());
    assert_eq!(client("client setinfo lib-ver 1.8.1"), Some(version));
    assert_eq!(client("CLIENT SETINFO OTHER x"), None);
    let name = Some(ClientNote::Name("api".into()));
    assert_eq!(client("CLIENT SETNAME api"), name);
    assert_eq!(client("HELLO 3 AUTH default SETNAME SETNAME api"), name);
}

#[test]
fn a_password_is_never_taken_for_a_name() {
    assert_eq!(client("HELLO 3 AUTH SETNAME secret"), None);
    assert_eq!(client("HELLO 3 AUTH u secret"), None);
    assert_eq!(client("AUTH SETNAME secret"), None);
}

#[test]
fn a_typed_line_tells_the_same() {
    let typed = |line: &str| remark(format!("{line}\r\n").as_bytes());
    assert_eq!(
        typed("SET k 'a value' EX 10").expiry,
        Some(Expiry::WithValue)
    );
    let name = Some(ClientNote::Name("api".into()));
    assert_eq!(typed("CLIENT SETNAME api").client, name);
    assert_eq!(typed("HELLO 3 SETNAME api").client, name);
}

#[test]
fn a_remark_is_of_the_last_command_alone() {
    let both = [command("SETEX k 10 v"), command("SET k v")].concat();
    let told: Vec<_> = remarks(&both, usize::MAX)
        .into_iter()
        .map(|remark| remark.expiry)
        .collect();
    assert_eq!(told, [Some(Expiry::WithValue), None]);
}

#[test]
fn a_long_word_is_kept_in_part_and_never_taken_for_an_option() {
    let long = "x".repeat(100_000);
    let told = remark(&array(&[b"SET", b"k", long.as_bytes(), b"EX", b"1"]));
    assert_eq!(told.expiry, Some(Expiry::WithValue));
    assert_eq!(expiry(&format!("SET k v EX{long}")), None);
    match client(&format!("CLIENT SETNAME {long}")) {
        Some(ClientNote::Name(name)) => assert_eq!(name.len(), 64),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_it_tells_the_same(
        commands in proptest::collection::vec(
            proptest::collection::vec("(?i)SET|GETEX|HELLO|CLIENT|SETNAME|SETINFO|LIB-NAME|EX|PERSIST|KEEPTTL|AUTH|[a-z]{0,9}", 1..8),
            1..8,
        ),
        piece in 1_usize..40,
    ) {
        let stream: Vec<u8> = commands
            .iter()
            .flat_map(|words| array(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()))
            .collect();
        prop_assert_eq!(remarks(&stream, piece), remarks(&stream, usize::MAX));
    }
}
