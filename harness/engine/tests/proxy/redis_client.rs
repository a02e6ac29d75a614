//! End to end: a real client, a real server, each fault as the client sees it.

use super::support::*;
use redis::{Connection, RedisError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use touchstone_engine::proxy::{
    Blackhole, Cut, CutMode, Delay, Direction, Latency, Refuse, Reject, Scope, Silence,
};

/// A server of its own on a free port; killed on drop.
pub(crate) struct RedisServer {
    child: Child,
    address: SocketAddr,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        Self {
            child: spawn(address),
            address,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn spawn(address: SocketAddr) -> Child {
    let port = address.port().to_string();
    let child = Command::new("redis-server")
        .args([
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    while client(address, WATCH).is_err() {
        assert!(
            Instant::now() < deadline,
            "redis-server does not listen on {address}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn client(address: SocketAddr, patience: Duration) -> Result<Connection, RedisError> {
    let client = redis::Client::open(format!("redis://{address}"))?;
    let connection = client.get_connection_with_timeout(patience)?;
    connection.set_read_timeout(Some(patience))?;
    Ok(connection)
}

fn redis_ping(connection: &mut Connection) -> Result<String, RedisError> {
    redis::cmd("PING").query(connection)
}

fn works(rig: &Rig) {
    assert_eq!(
        redis_ping(&mut client(rig.address(), DEADLINE).unwrap()).unwrap(),
        "PONG"
    );
}

/// Runs the story of one fault: a server, a proxy, a client that works before.
fn with_client(story: impl AsyncFnOnce(&Rig, &mut Connection, &mut RedisServer)) {
    run(async {
        let mut server = RedisServer::start();
        let rig = Rig::toward(server.address).await;
        let mut existing = client(rig.address(), DEADLINE).unwrap();
        assert_eq!(redis_ping(&mut existing).unwrap(), "PONG");
        story(&rig, &mut existing, &mut server).await;
        works(&rig);
    });
}

#[test]
fn under_refuse_the_client_is_refused() {
    with_client(async |rig, existing, _| {
        let _guard = rig.inject(Refuse).await.unwrap();
        assert!(redis_ping(existing).unwrap_err().is_connection_dropped());
        let error = client(rig.address(), DEADLINE).err().unwrap();
        assert!(error.is_connection_refusal(), "{error:?}");
    });
}

#[test]
fn under_reject_the_client_is_reset() {
    with_client(async |rig, existing, _| {
        let _guard = rig.inject(Reject).await.unwrap();
        let error = client(rig.address(), DEADLINE).err().unwrap();
        assert!(error.is_connection_dropped(), "{error:?}");
        assert!(!error.is_connection_refusal(), "{error:?}");
        assert_eq!(redis_ping(existing).unwrap(), "PONG");
    });
}

#[test]
fn under_silence_connecting_succeeds_and_commands_time_out() {
    with_client(async |rig, existing, _| {
        let guard = rig.inject(Silence { scope: Scope::All }).await.unwrap();
        drop(connect(rig.address()).unwrap());
        existing.set_read_timeout(Some(WATCH)).unwrap();
        let error = redis_ping(existing).unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert!(guard.bite().is_some());
    });
}

#[test]
fn in_a_blackhole_connecting_times_out() {
    with_client(async |rig, existing, _| {
        let guard = rig.inject(Blackhole { scope: Scope::All }).await.unwrap();
        let error = client(rig.address(), WATCH).err().unwrap();
        assert!(error.is_timeout(), "{error:?}");
        existing.set_read_timeout(Some(WATCH)).unwrap();
        assert!(redis_ping(existing).unwrap_err().is_timeout());
        assert!(guard.bite().is_some());
    });
}

#[test]
fn a_cut_is_a_reset_or_an_orderly_end_for_the_client() {
    with_client(async |rig, existing, _| {
        drop(
            rig.inject(Cut {
                mode: CutMode::Reset,
            })
            .await
            .unwrap(),
        );
        let error = redis_ping(existing).unwrap_err();
        assert!(error.is_connection_dropped(), "{error:?}");

        let mut existing = client(rig.address(), DEADLINE).unwrap();
        drop(
            rig.inject(Cut {
                mode: CutMode::Close,
            })
            .await
            .unwrap(),
        );
        let error = redis_ping(&mut existing).unwrap_err();
        assert!(error.is_connection_dropped(), "{error:?}");
    });
}

#[test]
fn latency_is_what_a_command_takes_at_least() {
    with_client(async |rig, existing, _| {
        let delay = Duration::from_millis(10);
        let fault = Latency {
            delay: Delay::fixed(delay),
            direction: Direction::Down,
        };
        let _guard = rig.inject(fault).await.unwrap();
        for _ in 0..20 {
            let sent_at = Instant::now();
            assert_eq!(redis_ping(existing).unwrap(), "PONG");
            assert!(sent_at.elapsed() >= delay, "took {:?}", sent_at.elapsed());
        }
    });
}

#[test]
fn the_death_of_the_server_reaches_the_client_and_its_return_elsewhere_too() {
    with_client(async |rig, existing, server| {
        server.kill();
        let error = redis_ping(existing).unwrap_err();
        assert!(error.is_connection_dropped(), "{error:?}");
        assert!(
            client(rig.address(), DEADLINE).is_err(),
            "nothing is there any more"
        );

        // Back on another port, as a container would be.
        *server = RedisServer::start();
        rig.set_upstream(Some(server.address)).await.unwrap();
    });
}
