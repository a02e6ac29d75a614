//! The harness's own client on Redis: the second, direct look at what the subject did.

use super::error::StoreError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo};
use std::net::SocketAddr;
use std::time::Duration;

/// What our own clients call themselves, so that they can be told from the subject's.
pub const CLIENT_NAME: &str = "touchstone";

/// How long the harness waits for its own store.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// Connects straight to the server, past the proxy, as the default user.
pub async fn connect(
    address: SocketAddr,
    password: &str,
    database: i64,
) -> Result<MultiplexedConnection, StoreError> {
    connect_as(address, ("default", password), database).await
}

/// The same as a user of the server's access control list: name and password.
pub async fn connect_as(
    address: SocketAddr,
    (user, password): (&str, &str),
    database: i64,
) -> Result<MultiplexedConnection, StoreError> {
    let info =
        ConnectionAddr::Tcp(address.ip().to_string(), address.port()).into_connection_info()?;
    let mut settings = info.redis_settings().clone();
    settings = settings.set_password(password).set_db(database);
    if user != "default" {
        settings = settings.set_username(user);
    }
    let client = Client::open(info.set_redis_settings(settings))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_DEADLINE))
        .set_response_timeout(Some(ANSWER_DEADLINE));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    redis::cmd("CLIENT")
        .arg(&["SETNAME", CLIENT_NAME])
        .exec_async(&mut connection)
        .await?;
    Ok(connection)
}

/// Every client of the server that is none of ours: its id, and its line of `CLIENT LIST`.
pub async fn foreign_clients(
    connection: &mut MultiplexedConnection,
) -> Result<Vec<(u64, String)>, redis::RedisError> {
    let list: String = redis::cmd("CLIENT")
        .arg(&["LIST", "TYPE", "normal"])
        .query_async(connection)
        .await?;
    let ours = format!("name={CLIENT_NAME}");
    let client = |line: &str| {
        let id = line.strip_prefix("id=")?.split(' ').next()?.parse().ok()?;
        let foreign = line.split(' ').all(|field| field != ours);
        foreign.then(|| (id, line.to_owned()))
    };
    Ok(list.lines().filter_map(client).collect())
}

/// Ends every connection that is none of ours; returns how many.
pub async fn kill_foreign_clients(
    connection: &mut MultiplexedConnection,
) -> Result<usize, redis::RedisError> {
    let mut killed = 0;
    for (id, _) in foreign_clients(connection).await? {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(id);
        killed += kill.query_async::<usize>(connection).await?;
    }
    Ok(killed)
}

/// One look at whether the server serves: it answers PING and has loaded its data.
pub async fn is_ready(address: SocketAddr, password: &str) -> Result<(), StoreError> {
    let mut connection = connect(address, password, 0).await?;
    redis::cmd("PING").exec_async(&mut connection).await?;
    Ok(())
}

/// `redis_version` of `INFO server`, and `valkey_version` where there is one.
pub async fn version(connection: &mut MultiplexedConnection) -> Result<String, StoreError> {
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(connection)
        .await?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}
