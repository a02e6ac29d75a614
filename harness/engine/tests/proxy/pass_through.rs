//! Without a fault the proxy is not noticed.

use super::support::*;
use proptest::prelude::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use touchstone_engine::proxy::Ending;

/// A mebibyte in pieces of any size; short pieces are the common case.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let size = prop_oneof![3 => 0..200_usize, 2 => 1_000..20_000_usize, 1 => 60_000..400_000_usize];
    let piece = (size, any::<u8>()).prop_map(|(size, first)| {
        (0..size)
            .map(|index| first.wrapping_add((index * 7 + index / 251) as u8))
            .collect()
    });
    prop::collection::vec(piece, 0..8)
}

/// Writes the pieces, says it is done, and reads until the other side has said so.
fn exchange(mut stream: TcpStream, pieces: Vec<Vec<u8>>) -> Vec<u8> {
    let mut reader = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for piece in pieces {
            stream.write_all(&piece).unwrap();
        }
        half_close(&stream);
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    received
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn bytes_pass_unchanged_in_both_directions_at_once(up in pieces(), down in pieces()) {
        run(async {
            let (listener, address) = listen();
            let rig = Rig::toward(address).await;
            let subject = rig.connect();
            let (sent_up, sent_down) = (up.concat(), down.concat());
            let store = std::thread::spawn(move || exchange(accept(&listener), down));
            let at_subject = exchange(subject, up);
            let at_store = store.join().unwrap();
            prop_assert!(at_store == sent_up, "the store got other bytes than were sent");
            prop_assert!(at_subject == sent_down, "the subject got other bytes than were sent");
            Ok(())
        })?;
    }
}

#[test]
fn fifty_connections_pass_side_by_side() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let address = rig.address();
        let clients: Vec<_> = (0..50)
            .map(|_| std::thread::spawn(move || pings(address)))
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        let counters = rig.counters().await.unwrap();
        assert_eq!(
            (counters.accepted, counters.bytes_up, counters.bytes_down),
            (50, 8_000, 8_000)
        );
    });
}

fn pings(address: SocketAddr) {
    let mut stream = connect(address).unwrap();
    for _ in 0..40 {
        ping(&mut stream).unwrap();
    }
}

#[test]
fn a_half_close_goes_one_way_and_the_answer_still_comes() {
    run(async {
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let mut subject = rig.connect();
        let mut store = accept(&listener);
        subject.write_all(b"question").unwrap();
        half_close(&subject);
        let mut question = Vec::new();
        store.read_to_end(&mut question).unwrap();
        assert_eq!(question, b"question");
        store.write_all(b"answer").unwrap();
        drop(store);
        let mut answer = Vec::new();
        subject.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"answer");
    });
}

#[test]
fn a_reset_of_one_side_reaches_the_other_as_a_reset() {
    run(async {
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;

        let mut subject = rig.connect();
        reset(accept(&listener));
        assert_eq!(read_outcome(&mut subject), Err(ErrorKind::ConnectionReset));

        let subject = rig.connect();
        let mut store = accept(&listener);
        reset(subject);
        assert_eq!(read_outcome(&mut store), Err(ErrorKind::ConnectionReset));
    });
}

#[test]
fn what_the_store_said_before_it_reset_still_arrives() {
    run(async {
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let mut subject = rig.connect();
        let mut store = accept(&listener);
        store
            .write_all(b"-ERR max number of clients reached\r\n")
            .unwrap();
        let mut line = [0; 36];
        subject.read_exact(&mut line).unwrap();
        reset(store);
        assert_eq!(read_outcome(&mut subject), Err(ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_reset_is_passed_on_also_if_a_write_finds_out() {
    run(async {
        for store_resets in [true, false] {
            let (listener, address) = listen();
            let rig = Rig::toward(address).await;
            let subject = rig.connect();
            let store = accept(&listener);
            let (mut resetting, mut other, ending) = match store_resets {
                true => (store, subject, Ending::StoreReset),
                false => (subject, store, Ending::SubjectReset),
            };
            // The other one does not read, so the proxy does not either, and cannot see the reset.
            fill(&mut resetting);
            reset(resetting);
            other.write_all(b"x").unwrap();
            let records = async || rig.connections().await.unwrap();
            let records = eventually(records, |records| records[0].ending.is_some()).await;
            assert_eq!(records[0].ending, Some(ending));
            let seen = other
                .read_to_end(&mut Vec::new())
                .map_err(|error| error.kind());
            assert_eq!(seen, Err(ErrorKind::ConnectionReset), "after {ending:?}");
        }
    });
}

#[test]
fn a_sink_that_does_not_read_holds_the_source_up_and_loses_nothing() {
    run(async {
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let mut subject = rig.connect();
        let mut store = accept(&listener);
        let written = fill(&mut subject);
        half_close(&subject);
        let mut received = Vec::new();
        store.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), written);
    });
}

#[test]
fn without_an_upstream_or_with_a_dead_one_the_subject_is_reset() {
    run(async {
        let rig = Rig::without_upstream().await;
        assert_eq!(
            connect_and_read(rig.address()),
            Err(ErrorKind::ConnectionReset)
        );

        let (listener, dead) = listen();
        drop(listener);
        rig.set_upstream(Some(dead)).await.unwrap();
        assert_eq!(
            connect_and_read(rig.address()),
            Err(ErrorKind::ConnectionReset)
        );
        assert_eq!(rig.counters().await.unwrap().upstream_refused, 2);
    });
}

#[test]
fn the_upstream_changes_under_an_address_that_does_not() {
    run(async {
        let (first, first_address) = listen();
        let rig = Rig::toward(first_address).await;
        let address = rig.address();
        let mut old = rig.connect();
        let mut old_store = accept(&first);

        let (second, second_address) = listen();
        rig.set_upstream(Some(second_address)).await.unwrap();
        let mut new = rig.connect();
        accept(&second).write_all(b"new").unwrap();
        assert_eq!(read_outcome(&mut new), Ok(3));
        assert_eq!(rig.address(), address);

        old_store.write_all(b"old").unwrap();
        assert_eq!(
            read_outcome(&mut old),
            Ok(3),
            "an existing connection stays where it is"
        );
    });
}

#[test]
fn several_proxies_share_a_thread_and_close_one_by_one() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let config = touchstone_engine::proxy::ProxyConfig {
            name: "second".to_owned(),
            seed: touchstone_core::Seed(1),
            protocol: touchstone_engine::proxy::Protocol::Opaque,
            listen: None,
        };
        let second = rig.thread.open(config).await.unwrap();
        second.set_upstream(Some(echo_store())).await.unwrap();
        let mut through_second = connect(second.address()).unwrap();
        ping(&mut through_second).unwrap();
        let address = second.address();
        drop(second);
        assert_eq!(read_outcome(&mut through_second), Ok(0));
        assert_eq!(
            connect(address).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        ping(&mut rig.connect()).unwrap();
    });
}

#[test]
fn the_thread_tells_how_late_it_was() {
    run(async {
        let since = std::time::Instant::now();
        let rig = Rig::without_upstream().await;
        let stall = eventually(
            async || rig.thread.worst_stall_since(since),
            Option::is_some,
        )
        .await;
        assert!(stall.unwrap().at >= since);
    });
}
