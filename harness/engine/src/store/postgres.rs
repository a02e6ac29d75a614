//! The harness's own client on Postgres.

use super::error::StoreError;
use super::spec::ServerSpec;
use std::net::SocketAddr;
use std::time::Duration;
use tokio_postgres::{Client, Config, NoTls};

/// How long the harness waits for its own store.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// Connects straight to the server, past the proxy. The connection lives as long as the client.
pub async fn connect(
    address: SocketAddr,
    user: &str,
    password: &str,
    database: &str,
) -> Result<Client, StoreError> {
    let mut config = Config::new();
    config
        .host(address.ip().to_string())
        .port(address.port())
        .user(user)
        .password(password);
    config
        .dbname(database)
        .connect_timeout(ANSWER_DEADLINE)
        .application_name("touchstone");
    // The connect timeout of the client covers the socket only; a frozen server accepts and is silent.
    let connected = tokio::time::timeout(ANSWER_DEADLINE, config.connect(NoTls)).await;
    let (client, connection) = connected.map_err(|_| StoreError::Silent)??;
    tokio::spawn(connection);
    Ok(client)
}

/// One look at whether the server serves.
pub async fn is_ready(address: SocketAddr, spec: &ServerSpec) -> Result<(), StoreError> {
    let client = connect(address, &spec.user, &spec.password, &spec.database).await?;
    client.simple_query("SELECT 1").await?;
    Ok(())
}

/// Gives a server that was copied from the template a password of its own.
pub async fn personalise(
    address: SocketAddr,
    spec: &ServerSpec,
    template_password: &str,
) -> Result<(), StoreError> {
    let client = connect(address, &spec.user, template_password, &spec.database).await?;
    // Made by the harness from letters and digits; nothing here needs escaping.
    client
        .simple_query(&format!(
            "ALTER ROLE {} PASSWORD '{}'",
            spec.user, spec.password
        ))
        .await?;
    Ok(())
}

/// `server_version`, without the packager's addition in parentheses.
pub async fn version(client: &Client) -> Result<String, StoreError> {
    let row = client.query_one("SHOW server_version", &[]).await?;
    let text: &str = row.get(0);
    Ok(text.split(' ').next().unwrap_or(text).to_owned())
}
