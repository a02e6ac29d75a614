//! The harness's own client on Redis: the second, direct look at what the subject did.

use super::error::StoreError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::net::SocketAddr;
use std::time::Duration;

/// How long the harness waits for its own store.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// Connects straight to the server, past the proxy.
pub async fn connect(
    address: SocketAddr,
    password: &str,
    database: i64,
) -> Result<MultiplexedConnection, StoreError> {
    let client = Client::open(connection_info(address, password, database)?)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_DEADLINE))
        .set_response_timeout(Some(ANSWER_DEADLINE));
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

fn connection_info(
    address: SocketAddr,
    password: &str,
    database: i64,
) -> Result<ConnectionInfo, StoreError> {
    let info =
        ConnectionAddr::Tcp(address.ip().to_string(), address.port()).into_connection_info()?;
    let settings = info
        .redis_settings()
        .clone()
        .set_password(password)
        .set_db(database);
    Ok(info.set_redis_settings(settings))
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
