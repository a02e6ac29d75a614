//! Before the first ReadyForQuery.

use crate::support::*;
use touchstone_wire::{Dialogue, Down, Lost, Up};

#[test]
fn a_start_up_with_a_password_is_aside_on_both_sides() {
    let mut talk = Talk::default();
    assert_eq!(talk.up(&startup()), [Up::Aside]);
    let ask = message(b'R', &[0, 0, 0, 10, b'S', 0, 0]);
    assert_eq!(talk.down(&ask), [Down::Aside]);
    assert_eq!(talk.up(&password("secret")), [Up::Aside]);
    let rest = [
        auth_ok(),
        parameter("a", "b"),
        message(b'K', &[0; 8]),
        ready(b'I'),
    ]
    .concat();
    assert_eq!(talk.down(&rest).len(), 4);
    assert!(talk.dialogue.down_is_between());
    assert_eq!(talk.command(&query("SELECT 1")).name, "SELECT");
}

#[test]
fn no_byte_of_a_password_is_kept() {
    let mut talk = Talk::default();
    talk.up(&startup());
    talk.up(&password("hunter-two-secret"));
    let kept = format!("{:?}", talk.dialogue);
    let as_numbers = "hunter-two-secret".bytes().map(|byte| byte.to_string());
    let as_numbers = as_numbers.collect::<Vec<_>>().join(", ");
    assert!(!kept.contains("hunter") && !kept.contains(&as_numbers[..20]));
}

#[test]
fn a_refused_encryption_goes_on_in_the_clear() {
    let mut talk = Talk::default();
    assert_eq!(talk.up(&ssl_request()), [Up::Aside]);
    assert_eq!(talk.down(b"N"), [Down::Aside]);
    assert_eq!(talk.up(&gssenc_request()), [Up::Aside]);
    assert_eq!(talk.down(b"N"), [Down::Aside]);
    assert_eq!(talk.up(&startup()), [Up::Aside]);
    assert_eq!(talk.down(&[auth_ok(), ready(b'I')].concat()).len(), 2);
    assert_eq!(talk.command(&query("SELECT 1")).name, "SELECT");
}

#[test]
fn an_accepted_encryption_is_lost_in_both_directions() {
    for (request, answer) in [(ssl_request(), b"S"), (gssenc_request(), b"G")] {
        let mut talk = Talk::default();
        talk.up(&request);
        assert_eq!(talk.down(answer), [Down::Lost(Lost::Encrypted)]);
        assert_eq!(talk.dialogue.lost(), Some(Lost::Encrypted));
        assert_eq!(talk.up(&[0x16, 3, 1, 2, 0, 1]), []);
        assert_eq!(talk.down(&[0x16, 3, 3]), []);
    }
}

#[test]
fn an_old_server_answers_a_request_for_encryption_with_an_error() {
    let mut talk = Talk::default();
    talk.up(&ssl_request());
    assert_eq!(
        talk.down(&error("53300", "too many clients")),
        [Down::Aside]
    );
    assert_eq!(talk.dialogue.lost(), None);
}

#[test]
fn tls_without_a_request_is_lost_at_its_first_byte() {
    let mut talk = Talk::default();
    let advance = talk.dialogue.up(&[0x16, 3, 1, 0, 200]);
    assert_eq!(
        (advance.consumed, advance.event),
        (1, Some(Up::Lost(Lost::Encrypted)))
    );
}

#[test]
fn a_cancel_request_is_the_only_packet_of_its_connection() {
    let mut talk = Talk::default();
    assert_eq!(talk.up(&cancel_request()), [Up::Aside]);
    assert_eq!(talk.dialogue.oldest_pending(), None);
    assert_eq!(
        talk.up(&query("SELECT 1")),
        [Up::Lost(Lost::NotTheProtocol)]
    );
}

#[test]
fn another_protocol_is_lost() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        &[0, 0, 0, 8, 0, 2, 0, 0],
    ] {
        let mut talk = Talk::default();
        assert_eq!(talk.up(bytes), [Up::Lost(Lost::NotTheProtocol)]);
    }
}

#[test]
fn a_query_sent_before_the_session_is_ready_gets_its_own_reply() {
    let mut talk = Talk::default();
    assert_eq!(talk.up(&startup()), [Up::Aside]);
    let command = talk.command(&query("SELECT 1"));
    assert_eq!(
        talk.down(&[auth_ok(), ready(b'I')].concat()),
        [Down::Aside, Down::Aside]
    );
    let (id, _) = talk.reply_to(&[row(1), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(id, command.id);
}

#[test]
fn a_server_that_speaks_first_is_lost() {
    let mut talk = Talk::default();
    assert_eq!(talk.down(&ready(b'I')), [Down::Lost(Lost::UnaskedReply)]);
}

#[test]
fn a_goodbye_is_aside() {
    let mut talk = Talk::ready();
    assert_eq!(talk.up(&terminate()), [Up::Aside]);
    let mut talk = Talk::ready();
    assert_eq!(
        talk.up(&[parse("", "SELECT 1"), terminate()].concat()),
        [Up::Aside]
    );
}
