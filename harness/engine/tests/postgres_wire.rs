//! What a real client and a real server say to each other, as the decoder tells it.

use bytes::Bytes;
use futures::{SinkExt, StreamExt, pin_mut};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls};
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scope::RunScope;
use touchstone_engine::store::tools::Tools;
use touchstone_engine::store::{Provider, SUPERUSER, ServerSpec, Store, StoreKind};
use touchstone_wire::postgres::PostgresDialogue;
use touchstone_wire::{Advance, Command, Dialogue, Down, ReplyKind, Up};

type TestResult<T = ()> = Result<T, Box<dyn Error>>;

/// What was decoded on one connection.
#[derive(Default)]
struct Notes {
    dialogue: PostgresDialogue,
    commands: Vec<Command>,
    /// Each reply with the name of its command.
    replies: Vec<(String, ReplyKind)>,
}

impl Notes {
    fn read_up(&mut self, mut input: &[u8]) {
        loop {
            let Advance { consumed, event } = self.dialogue.up(input);
            input = &input[consumed..];
            match event {
                Some(Up::Head(command)) => self.commands.push(command),
                Some(_) => {}
                None => return,
            }
        }
    }

    fn read_down(&mut self, mut input: &[u8]) {
        loop {
            let Advance { consumed, event } = self.dialogue.down(input);
            input = &input[consumed..];
            match event {
                Some(Down::End { id, reply, .. }) => {
                    let command = self.commands.iter().find(|command| command.id == id);
                    let name = command.map_or("?", |command| command.name.as_ref());
                    self.replies.push((name.to_owned(), reply.kind));
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    notes: Arc<Mutex<Notes>>,
    read: fn(&mut Notes, &[u8]),
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1500];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        read(
            &mut notes.lock().expect("no reader panics"),
            &buffer[..length],
        );
        to.write_all(&buffer[..length]).await?;
    }
}

/// A server, and a client that talks to it through a relay that listens.
struct Session {
    client: Option<Client>,
    notes: Arc<Mutex<Notes>>,
    store: Store,
    _scope: RunScope,
}

impl Session {
    async fn open(name: &str) -> TestResult<Self> {
        let scope = RunScope::create(&format!("wire-{name}-{}", std::process::id()), false)?;
        let spec = ServerSpec {
            kind: StoreKind::Postgres,
            run_id: scope.run_id().to_owned(),
            name: "wire".to_owned(),
            password: "pw12345".to_owned(),
            user: SUPERUSER.to_owned(),
            database: "postgres".to_owned(),
            extra_args: Vec::new(),
            tls: None,
        };
        let store = Store::launch(spec, &Provider::Process(Tools::find()?), &scope).await?;
        let upstream = store.address().await.ok_or("the server has an address")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let notes = Arc::new(Mutex::new(Notes::default()));
        let noted = Arc::clone(&notes);
        tokio::spawn(async move {
            let (client, _) = listener.accept().await?;
            let server = tokio::net::TcpStream::connect(upstream).await?;
            let (client_read, client_write) = client.into_split();
            let (server_read, server_write) = server.into_split();
            let up = copy(
                client_read,
                server_write,
                Arc::clone(&noted),
                Notes::read_up,
            );
            let down = copy(server_read, client_write, noted, Notes::read_down);
            tokio::try_join!(up, down)
        });
        let mut config = Config::new();
        config.host("127.0.0.1").port(port).user(SUPERUSER);
        config.password("pw12345").dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(Self {
            client: Some(client),
            notes,
            store,
            _scope: scope,
        })
    }

    fn client(&mut self) -> TestResult<&mut Client> {
        Ok(self.client.as_mut().ok_or("the client is open")?)
    }

    /// What was replied since the last call, as lines.
    fn replies(&self) -> Vec<String> {
        let mut notes = self.notes.lock().expect("no reader panics");
        assert_eq!(notes.dialogue.lost(), None);
        let replies = std::mem::take(&mut notes.replies);
        // A statement is closed when the client drops it, which its convenience functions do by themselves.
        let replies = replies.into_iter().filter(|(name, _)| name != "CLOSE");
        let line = |(name, kind)| format!("{name} {kind:?}");
        replies.map(line).collect()
    }

    fn commands_in_transaction(&self) -> usize {
        let notes = self.notes.lock().expect("no reader panics");
        let inside = |command: &&Command| command.in_transaction;
        notes.commands.iter().filter(inside).count()
    }

    /// A last query has its reply: nothing is owed, and nothing was lost on the way.
    async fn close(mut self) -> TestResult {
        self.client()?.batch_execute("SELECT 'the end'").await?;
        assert_eq!(
            self.replies().last().map(String::as_str),
            Some("SELECT Rows(1)")
        );
        {
            let notes = self.notes.lock().expect("no reader panics");
            assert_eq!(notes.dialogue.oldest_pending(), None);
            assert!(notes.dialogue.down_is_between());
        }
        drop(self.client.take());
        Ok(self.store.remove().await?)
    }
}

#[tokio::test]
async fn queries_of_all_kinds_are_called_by_their_statements() -> TestResult {
    let mut session = Session::open("queries").await?;
    let client = session.client()?;
    client
        .batch_execute("CREATE TABLE t (a int4, b bytea); INSERT INTO t VALUES (1, '')")
        .await?;
    let statement = client.prepare("SELECT a FROM t WHERE a = $1").await?;
    client.query(&statement, &[&1i32]).await?;
    client.query(&statement, &[&2i32]).await?;
    client.execute("UPDATE t SET a = $1", &[&3i32]).await?;
    client
        .query_typed("DELETE FROM t WHERE a = $1", &[(&9i32, Type::INT4)])
        .await?;
    let large = vec![7u8; 300_000];
    let insert = client.prepare("INSERT INTO t VALUES (4, $1)").await?;
    client.execute(&insert, &[&large]).await?;
    assert_eq!(
        session.replies(),
        [
            "INSERT Rows(1)",
            "PARSE Done",
            "SELECT Rows(1)",
            "SELECT Rows(0)",
            "PARSE Done",
            "UPDATE Rows(1)",
            "DELETE Rows(0)",
            "PARSE Done",
            "INSERT Rows(1)",
        ]
    );
    session.close().await
}

#[tokio::test]
async fn a_transaction_is_seen_from_its_begin_to_its_end() -> TestResult {
    let mut session = Session::open("transaction").await?;
    let transaction = session.client()?.transaction().await?;
    let statement = transaction.prepare("SELECT generate_series(1, 5)").await?;
    let portal = transaction.bind(&statement, &[]).await?;
    transaction.query_portal(&portal, 2).await?;
    transaction.query_portal(&portal, 0).await?;
    assert!(transaction.batch_execute("SELECT 1 / 0").await.is_err());
    drop(portal);
    transaction.rollback().await?;
    drop(statement);
    session.client()?.batch_execute("SELECT 1").await?;
    assert_eq!(
        session.replies(),
        [
            "START Done",
            "PARSE Done",
            "BIND Done",
            "SELECT Rows(2)",
            "SELECT Rows(3)",
            "SELECT Error(\"22012 division by zero\")",
            "ROLLBACK Done",
            "SELECT Rows(1)",
        ]
    );
    assert_eq!(session.commands_in_transaction(), 7);
    session.close().await
}

#[tokio::test]
async fn pipelined_queries_get_their_own_replies_though_some_fail() -> TestResult {
    let mut session = Session::open("pipeline").await?;
    let client = session.client()?;
    let one = client.prepare("SELECT 1").await?;
    let zero = client.prepare("SELECT 1 / $1::int4").await?;
    let none: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
    let (first, second, third, fourth, fifth) = tokio::join!(
        client.query(&one, &none),
        client.query(&zero, &[&0i32]),
        client.query_typed("SELEC", &[]),
        client.batch_execute("DO $$ BEGIN RAISE NOTICE 'heard'; END $$"),
        client.query(&one, &none),
    );
    assert!(first.is_ok() && second.is_err() && third.is_err() && fourth.is_ok() && fifth.is_ok());
    assert_eq!(
        session.replies()[2..],
        [
            "SELECT Rows(1)",
            "SELECT Error(\"22012 division by zero\")",
            "SELEC Error(\"42601 syntax error at or near \\\"SELEC\\\"\")",
            "DO Done",
            "SELECT Rows(1)",
        ]
    );
    session.close().await
}

async fn copy_in(client: &Client, target: &str, data: &'static [u8]) -> TestResult<u64> {
    let sink = client
        .copy_in::<_, Bytes>(&format!("COPY {target} FROM STDIN"))
        .await?;
    pin_mut!(sink);
    for _ in 0..100 {
        sink.send(Bytes::from_static(data)).await?;
    }
    Ok(sink.finish().await?)
}

#[tokio::test]
async fn a_copy_that_ends_fails_or_is_abandoned_keeps_the_pairing() -> TestResult {
    let mut session = Session::open("copy").await?;
    let client = session.client()?;
    client.batch_execute("CREATE TABLE t (a int4)").await?;
    assert_eq!(copy_in(client, "t", b"1\n2\n").await?, 200);
    assert!(copy_in(client, "t", b"no number\n").await.is_err());
    drop(client.copy_in::<_, Bytes>("COPY t FROM STDIN").await?);
    let rows = client.copy_out("COPY t TO STDOUT").await?;
    assert_eq!(
        rows.filter(|row| std::future::ready(row.is_ok()))
            .count()
            .await,
        200
    );
    let replies = session.replies();
    let copies: Vec<_> = replies
        .iter()
        .filter(|line| line.starts_with("COPY"))
        .collect();
    assert_eq!(copies.len(), 4, "of {replies:?}");
    assert_eq!(copies[0], "COPY Rows(200)");
    assert!(copies[1].starts_with("COPY Error(\"22P02 "));
    assert!(copies[2].starts_with("COPY Error(\"57014 "));
    assert_eq!(copies[3], "COPY Rows(200)");
    session.close().await
}

/// The client sends a Sync with its COPY and another when it gives up. The server answers both, before or after
/// it has seen the second, and the client ends the session over the second answer.
#[tokio::test]
async fn a_copy_that_is_refused_after_its_begin_is_answered_twice() -> TestResult {
    let mut session = Session::open("refused").await?;
    let client = session.client()?;
    client
        .batch_execute("CREATE VIEW v AS SELECT 1 AS a")
        .await?;
    assert!(copy_in(client, "v", b"1\n").await.is_err());
    let (deadline, interval) = (Duration::from_secs(10), Duration::from_millis(5));
    poll_until("the end of the session", deadline, interval, || {
        std::future::ready(match client.is_closed() {
            true => Look::Ready(()),
            false => Look::NotYet("it is open".to_owned()),
        })
    })
    .await?;
    let replies = session.replies();
    assert!(
        replies[2].starts_with("COPY Error(\"42809 "),
        "of {replies:?}"
    );
    assert!(
        replies[3..].iter().all(|line| line == "SYNC Done"),
        "of {replies:?}"
    );
    assert_eq!(
        session
            .notes
            .lock()
            .expect("no reader panics")
            .dialogue
            .oldest_pending(),
        None
    );
    Ok(session.store.remove().await?)
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_told_until_then() -> TestResult {
    let mut session = Session::open("terminated").await?;
    let client = session.client()?;
    let pid: i32 = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await?
        .get(0);
    let other = session.store.postgres().await?;
    let ended = other
        .query_one("SELECT pg_terminate_backend($1, 10000)", &[&pid])
        .await?;
    assert!(ended.get::<_, bool>(0));
    // The error that nobody asked for may arrive before or after this query, which fails either way.
    let client = session.client()?;
    assert!(client.batch_execute("SELECT 1").await.is_err());
    assert_eq!(session.replies(), ["PARSE Done", "SELECT Rows(1)"]);
    drop(other);
    Ok(session.store.remove().await?)
}
