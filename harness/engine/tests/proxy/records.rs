//! The tap: what became of every connection.

use super::support::*;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::time::Instant;
use touchstone_engine::proxy::{
    ConnectionRecord, Cut, CutMode, Ending, Proxy, Reject, Scope, Silence,
};

async fn only_record(rig: &Proxy, done: impl Fn(&ConnectionRecord) -> bool) -> ConnectionRecord {
    let records = eventually(
        async || rig.connections().await.unwrap(),
        |records| matches!(records.as_slice(), [only] if done(only)),
    )
    .await;
    records.into_iter().next().unwrap()
}

async fn listening_rig() -> (Rig, TcpListener) {
    let (listener, address) = listen();
    (Rig::toward(address).await, listener)
}

#[test]
fn a_record_holds_bytes_and_times_of_both_directions() {
    run(async {
        let before = Instant::now();
        let (rig, listener) = listening_rig().await;
        let mut subject = rig.connect();
        let mut store = accept(&listener);
        subject.write_all(b"question").unwrap();
        assert_eq!(read_outcome(&mut store), Ok(8));
        store.write_all(b"yes").unwrap();
        assert_eq!(read_outcome(&mut subject), Ok(3));

        let record = only_record(&rig, |record| record.down.bytes == 3).await;
        assert_eq!(record.subject, subject.local_addr().unwrap());
        assert_eq!(
            (record.up.bytes, record.closed_at, record.ending),
            (8, None, None)
        );
        assert!(record.opened_at >= before);
        assert!(record.up.first_byte_at.unwrap() >= record.opened_at);
        assert!(record.down.first_byte_at.unwrap() >= record.up.last_byte_at.unwrap());
    });
}

#[test]
fn clean_and_dirty_ends_of_either_side_are_told_apart() {
    run(async {
        let (rig, listener) = listening_rig().await;
        let subject = rig.connect();
        let store = accept(&listener);
        drop(subject);
        let record = only_record(&rig, |record| record.ended_at.is_some()).await;
        assert_eq!(
            (record.ending, record.closed_at),
            (Some(Ending::SubjectFin), None)
        );
        drop(store);
        only_record(&rig, |record| record.closed_at.is_some()).await;

        let (rig, listener) = listening_rig().await;
        let _subject = rig.connect();
        drop(accept(&listener));
        let record = only_record(&rig, |record| record.ended_at.is_some()).await;
        assert_eq!(record.ending, Some(Ending::StoreFin));

        let (rig, listener) = listening_rig().await;
        let subject = rig.connect();
        let _store = accept(&listener);
        reset(subject);
        let record = only_record(&rig, |record| record.closed_at.is_some()).await;
        assert_eq!(record.ending, Some(Ending::SubjectReset));

        let (rig, listener) = listening_rig().await;
        let _subject = rig.connect();
        reset(accept(&listener));
        let record = only_record(&rig, |record| record.closed_at.is_some()).await;
        assert_eq!(record.ending, Some(Ending::StoreReset));
    });
}

#[test]
fn every_attempt_is_recorded_with_its_time_and_its_fate() {
    run(async {
        let rig = Rig::without_upstream().await;
        assert_eq!(
            connect_and_read(rig.address()),
            Err(ErrorKind::ConnectionReset)
        );
        let reject = rig.inject(Reject).await.unwrap();
        assert_eq!(
            connect_and_read(rig.address()),
            Err(ErrorKind::ConnectionReset)
        );
        drop(reject);
        rig.set_upstream(Some(echo_store())).await.unwrap();
        let mut cut = rig.connect();
        ping(&mut cut).unwrap();
        drop(
            rig.inject(Cut {
                mode: CutMode::Close,
            })
            .await
            .unwrap(),
        );
        let mut open = rig.connect();
        ping(&mut open).unwrap();

        let records = rig.connections().await.unwrap();
        let endings: Vec<_> = records.iter().map(|record| record.ending).collect();
        let expected = [
            Some(Ending::UpstreamRefused),
            Some(Ending::RejectedByFault),
            Some(Ending::CutByFault),
            None,
        ];
        assert_eq!(endings, expected);
        assert!(records.is_sorted_by_key(|record| (record.id, record.opened_at)));
        let counters = rig.counters().await.unwrap();
        assert_eq!((counters.accepted, counters.rejected), (4, 1));
        assert_eq!((counters.upstream_refused, counters.cut), (1, 1));
        assert_eq!((counters.bytes_up, counters.bytes_down), (8, 8));
    });
}

#[test]
fn swallowed_bytes_are_not_counted_as_passed() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let guard = rig.inject(Silence { scope: Scope::All }).await.unwrap();
        let mut subject = rig.connect();
        subject.write_all(b"lost").unwrap();
        let record = only_record(&rig, |record| record.swallowed_bytes == 4).await;
        assert_eq!(record.up.bytes, 0);
        drop(subject);
        let record = only_record(&rig, |record| record.closed_at.is_some()).await;
        assert_eq!(record.ending, Some(Ending::SubjectFin));
        drop(guard);
    });
}
