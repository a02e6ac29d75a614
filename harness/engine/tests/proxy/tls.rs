//! TLS that ends at the proxy: what passes is decoded, and faults act as on a plain connection.

use super::redis_client::RedisServer;
use super::support::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use touchstone_engine::proxy::{
    Action, ConnectionRecord, Cut, CutMode, Delay, Direction, Ending, ErrorReply, Latency,
    PemIdentity, Protocol, Rule, Scope, Silence, Tls, TlsClient, TlsSeen, TlsServer, When,
};
use touchstone_engine::tls::{Authority, Identity, Shown};

type Secured = StreamOwned<ClientConnection, TcpStream>;

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("touchstone-tls-test-{}", std::process::id()));
    let made = Authority::create(&dir).unwrap();
    // The tests need only what is in the files.
    std::fs::remove_dir_all(&dir).unwrap();
    made
});

fn pem(identity: &Identity) -> PemIdentity<'_> {
    PemIdentity {
        chain: identity.certificate_pem.as_bytes(),
        key: identity.key_pem.as_bytes(),
    }
}

/// Shows the right certificate, and demands one of the subject.
fn ends() -> Tls {
    let ca = AUTHORITY.ca_pem.as_bytes();
    let subject = TlsServer::from_pem(pem(AUTHORITY.server(Shown::Good)), Some(ca)).unwrap();
    Tls {
        subject: Some(subject),
        store: None,
    }
}

fn toward_tls() -> Option<TlsClient> {
    let (ca, client) = (AUTHORITY.ca_pem.as_bytes(), pem(&AUTHORITY.client));
    Some(TlsClient::from_pem(ca, "localhost", Some(client)).unwrap())
}

/// A subject that trusts this authority. The greeting is made with the first bytes.
fn subject(address: SocketAddr, authority: &str) -> Secured {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let client = &AUTHORITY.client;
    let certificate = CertificateDer::from_pem_slice(client.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(session, connect(address).unwrap())
}

fn trusting(address: SocketAddr) -> Secured {
    subject(address, &AUTHORITY.ca_pem)
}

fn ask(subject: &mut impl ReadWrite, command: &str, answer: &str) -> io::Result<()> {
    subject.write_all(command.as_bytes())?;
    let mut seen = vec![0; answer.len()];
    subject.read_exact(&mut seen)?;
    assert_eq!(String::from_utf8_lossy(&seen), answer);
    Ok(())
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

async fn record(rig: &Rig, done: impl Fn(&ConnectionRecord) -> bool) -> ConnectionRecord {
    let ask = async || rig.connections().await.unwrap().into_iter().next_back();
    let seen = eventually(ask, |record| record.as_ref().is_some_and(&done));
    seen.await.unwrap()
}

async fn names(rig: &Rig) -> Vec<String> {
    let heard = rig.heard().await.unwrap();
    heard.names.iter().map(|of| of.name.to_string()).collect()
}

#[test]
fn what_comes_through_tls_is_decoded_and_passes_unchanged() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        rig.set_tls(ends()).await.unwrap();
        let mut subject = trusting(rig.address());
        ask(&mut subject, "PING\r\n", "+PONG\r\n").unwrap();
        assert!(names(&rig).await.contains(&"PING".to_owned()));
        assert!(rig.undecoded().await.unwrap().is_empty());
        subject.conn.send_close_notify();
        drop(subject);
        let over = record(&rig, |record| record.closed_at.is_some()).await;
        assert_eq!(
            (over.tls, over.ending),
            (Some(TlsSeen::Done), Some(Ending::SubjectFin))
        );
    });
}

#[test]
fn a_value_that_fills_every_buffer_comes_through_whole_to_a_reader_that_is_slow() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        rig.set_tls(ends()).await.unwrap();
        let mut subject = trusting(rig.address());
        let value: Vec<u8> = (0..24_000_000_u32).map(|byte| byte as u8).collect();
        let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len());
        subject.write_all(head.as_bytes()).unwrap();
        subject.write_all(&value).unwrap();
        ask(&mut subject, "\r\n", "+OK\r\n").unwrap();
        subject.write_all(b"GET k\r\n").unwrap();
        subject.flush().unwrap();
        // Long enough for the proxy to have read all that it may, and to wait for us.
        tokio::time::sleep(WATCH).await;
        ask(&mut subject, "", &format!("${}\r\n", value.len())).unwrap();
        let mut seen = vec![0; value.len()];
        subject.read_exact(&mut seen).unwrap();
        assert!(seen == value, "the value has changed on its way");
    });
}

#[test]
fn tls_goes_on_to_a_store_that_speaks_it_too() {
    run(async {
        let server = RedisServer::start();
        let behind = Rig::decoding(Protocol::Redis, server.address()).await;
        behind.set_tls(ends()).await.unwrap();
        let rig = Rig::decoding(Protocol::Redis, behind.address()).await;
        let store = toward_tls();
        rig.set_tls(Tls { store, ..ends() }).await.unwrap();
        ask(&mut trusting(rig.address()), "PING\r\n", "+PONG\r\n").unwrap();
        assert!(names(&rig).await.contains(&"PING".to_owned()));
        let behind = record(&behind, |_| true).await;
        assert_eq!(behind.tls, Some(TlsSeen::Done));
    });
}

#[test]
fn without_it_tls_passes_untouched_and_is_told_as_not_decoded() {
    run(async {
        let server = RedisServer::start();
        let behind = Rig::decoding(Protocol::Redis, server.address()).await;
        behind.set_tls(ends()).await.unwrap();
        let rig = Rig::decoding(Protocol::Redis, behind.address()).await;
        ask(&mut trusting(rig.address()), "PING\r\n", "+PONG\r\n").unwrap();
        assert_eq!(rig.undecoded().await.unwrap().len(), 1);
        assert!(names(&rig).await.is_empty());
        assert_eq!(record(&rig, |_| true).await.tls, None);
    });
}

#[test]
fn a_subject_that_refuses_the_certificate_or_speaks_no_tls_is_told_as_such() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        let refused = |record: &ConnectionRecord| {
            record.closed_at.is_some() && matches!(record.tls, Some(TlsSeen::NotBySubject(_)))
        };
        for shown in Shown::BAD {
            let bad = TlsServer::from_pem(pem(AUTHORITY.server(shown)), None).unwrap();
            let tls = Tls {
                subject: Some(bad),
                store: None,
            };
            rig.set_tls(tls).await.unwrap();
            let error = ask(&mut trusting(rig.address()), "PING\r\n", "+PONG\r\n").unwrap_err();
            assert!(
                error.to_string().contains("certificate"),
                "{shown:?}: {error}"
            );
            assert_eq!(record(&rig, refused).await.ending, Some(Ending::NoTls));
        }
        rig.set_tls(ends()).await.unwrap();
        let mut plain = rig.connect();
        plain.write_all(b"PING\r\n").unwrap();
        assert_eq!(record(&rig, refused).await.ending, Some(Ending::NoTls));
        assert!(names(&rig).await.is_empty());
    });
}

#[test]
fn a_store_without_tls_where_it_is_asked_for_ends_the_connection() {
    run(async {
        let store = store(|mut stream| {
            let _ = stream.write_all(b"-ERR this is no TLS\r\n");
            let _ = stream.read(&mut [0; 64]);
        });
        let rig = Rig::decoding(Protocol::Redis, store).await;
        let tls = Tls {
            subject: None,
            store: toward_tls(),
        };
        rig.set_tls(tls).await.unwrap();
        assert!(connect_and_read(rig.address()).is_err());
        let over = record(&rig, |record| record.closed_at.is_some()).await;
        assert_eq!(over.ending, Some(Ending::NoTls));
        assert!(matches!(over.tls, Some(TlsSeen::NotByStore(_))), "{over:?}");
    });
}

#[test]
fn rules_act_on_what_was_decrypted() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        rig.set_tls(ends()).await.unwrap();
        let mut subject = trusting(rig.address());
        let rule = Rule::new(When::command("SET"), Action::Answer(ErrorReply::ReadOnly));
        let mut guard = rig.inject(rule).await.unwrap();
        subject.write_all(b"SET k v\r\n").unwrap();
        let mut answer = [0; 9];
        subject.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"-READONLY");
        assert!(guard.bite().is_some());
        guard.heal().await.unwrap();
        let mut rest = [0; 256];
        let _ = subject.read(&mut rest).unwrap();
        ask(&mut subject, "SET k v\r\n", "+OK\r\n").unwrap();
    });
}

#[test]
fn latency_holds_back_what_was_decrypted() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        rig.set_tls(ends()).await.unwrap();
        let mut subject = trusting(rig.address());
        ask(&mut subject, "PING\r\n", "+PONG\r\n").unwrap();
        let delay = Duration::from_millis(100);
        let latency = Latency {
            delay: Delay::fixed(delay),
            direction: Direction::Down,
        };
        let mut guard = rig.inject(latency).await.unwrap();
        let began = Instant::now();
        ask(&mut subject, "PING\r\n", "+PONG\r\n").unwrap();
        assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
        assert!(guard.bite().is_some());
        guard.heal().await.unwrap();
        ask(&mut subject, "PING\r\n", "+PONG\r\n").unwrap();
    });
}

#[test]
fn a_cut_is_an_orderly_end_of_tls_or_a_reset() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        rig.set_tls(ends()).await.unwrap();
        for mode in [CutMode::Close, CutMode::Reset] {
            let mut subject = trusting(rig.address());
            ask(&mut subject, "PING\r\n", "+PONG\r\n").unwrap();
            let guard = rig.inject(Cut { mode }).await.unwrap();
            assert!(guard.bite().is_some());
            let seen = subject.read(&mut [0; 16]).map_err(|error| error.kind());
            match mode {
                // Without the goodbye of TLS it would be an unexpected end.
                CutMode::Close => assert_eq!(seen, Ok(0)),
                CutMode::Reset => assert_eq!(seen, Err(io::ErrorKind::ConnectionReset)),
            }
        }
    });
}

#[test]
fn silence_swallows_the_greeting_of_new_connections_and_the_bytes_of_existing_ones() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        rig.set_tls(ends()).await.unwrap();
        let mut existing = trusting(rig.address());
        ask(&mut existing, "PING\r\n", "+PONG\r\n").unwrap();
        let mut guard = rig.inject(Silence { scope: Scope::All }).await.unwrap();
        let mut new = trusting(rig.address());
        for subject in [&mut existing, &mut new] {
            subject.sock.set_read_timeout(Some(WATCH)).unwrap();
            let error = ask(subject, "PING\r\n", "+PONG\r\n").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        assert!(guard.bite().is_some());
        guard.heal().await.unwrap();
        // What was swallowed is missing from the stream, which therefore ends.
        existing.sock.set_read_timeout(Some(DEADLINE)).unwrap();
        assert!(existing.read(&mut [0; 16]).is_err());
        ask(&mut trusting(rig.address()), "PING\r\n", "+PONG\r\n").unwrap();
    });
}
