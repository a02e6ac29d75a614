//! The floor: what no service on axum and the `redis` crate can go below. This program, started once more.
//!
//! One thread, as the backend has by default; no limit on anything, no reconnect, no check of input, no figures.

use crate::BenchError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo, cmd};
use std::io::Read;
use tokio::net::{TcpListener, TcpStream};

/// The first argument of a process that is to be the floor; then the URL of Redis and the port.
pub const WORKER_ARGUMENT: &str = "--serve-as-floor";

pub(super) fn serve(arguments: &[String]) -> Result<(), BenchError> {
    let [url, port] = arguments else {
        return Err(BenchError::wrong("URL PORT", arguments.join(" ")));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::Runtime)?;
    // Ends with its parent: the input does then.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime.block_on(answer(url, port))
}

async fn answer(url: &str, port: &str) -> Result<(), BenchError> {
    let info = url.into_connection_info()?;
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let connection = Client::open(info)?
        .get_multiplexed_async_connection()
        .await?;
    let router = Router::new()
        .route("/kv/{key}", get(read).put(write))
        .route("/users/{id}", get(hit))
        .with_state(connection);
    let address = format!("127.0.0.1:{port}");
    let listener = TcpListener::bind(address)
        .await
        .map_err(BenchError::Traffic)?;
    axum::serve(NoDelay(listener), router)
        .await
        .map_err(BenchError::Traffic)
}

async fn read(
    State(connection): State<MultiplexedConnection>,
    Path(key): Path<String>,
) -> Result<Vec<u8>, StatusCode> {
    found(connection, format!("kv:{key}")).await
}

async fn hit(
    State(connection): State<MultiplexedConnection>,
    Path(id): Path<String>,
) -> Result<Vec<u8>, StatusCode> {
    found(connection, format!("user:{id}")).await
}

async fn found(mut connection: MultiplexedConnection, key: String) -> Result<Vec<u8>, StatusCode> {
    let value: Option<Vec<u8>> = cmd("GET")
        .arg(key)
        .query_async(&mut connection)
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    value.ok_or(StatusCode::NOT_FOUND)
}

async fn write(
    State(mut connection): State<MultiplexedConnection>,
    Path(key): Path<String>,
    value: Bytes,
) -> Result<&'static str, StatusCode> {
    cmd("SET")
        .arg(format!("kv:{key}"))
        .arg(&value[..])
        .exec_async(&mut connection)
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok("OK")
}

struct NoDelay(TcpListener);

impl axum::serve::Listener for NoDelay {
    type Io = TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (TcpStream, Self::Addr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        let _ = stream.set_nodelay(true);
        (stream, address)
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
