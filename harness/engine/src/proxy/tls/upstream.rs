//! The way to the store.

use super::super::socket;
use super::{End, TlsClient};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A store on loopback either answers at once or not at all; a subject's own limit is far below.
const UPSTREAM_CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// Where a connection leads, and how it is spoken to there.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<TlsClient>,
}

/// Why there is no connection to the store.
pub(crate) enum NoStore {
    /// It was accepted and reset.
    Reset,
    /// Nobody listens, or nobody answers.
    Refused,
    /// It does not speak TLS, or not with us.
    Tls(io::Error),
}

impl Upstream {
    /// Connects, and agrees on keys if there is to be TLS.
    pub(crate) async fn connect(self) -> Result<End, NoStore> {
        let connected = timeout(UPSTREAM_CONNECT_DEADLINE, self.connect_patiently());
        connected.await.unwrap_or(Err(NoStore::Refused))
    }

    async fn connect_patiently(self) -> Result<End, NoStore> {
        let connected = TcpStream::connect(self.address).await;
        let stream = connected.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionReset => NoStore::Reset,
            _ => NoStore::Refused,
        })?;
        socket::make_prompt(&stream);
        let end = End::of_store(stream, self.tls).await;
        end.map_err(NoStore::Tls)
    }
}
