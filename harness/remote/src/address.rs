//! Addresses as people write them, and how far away they may be.

use crate::error::ApiError;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Who may reach what listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This machine only.
    Loopback,
    /// Whoever the address lets in.
    Remote,
}

impl Reach {
    /// Reads an address to listen on, as Go does: `127.0.0.1:6380`, `localhost:0`, `:6380` (all addresses of the
    /// machine). Nothing at all is a free port of loopback.
    ///
    /// # Errors
    /// It is no IPv4 address, or it is not on loopback and should be.
    pub async fn listen_address(self, text: &str) -> Result<SocketAddr, ApiError> {
        if text.is_empty() {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        }
        let full = match text.strip_prefix(':') {
            Some(port) => format!("0.0.0.0:{port}"),
            None => text.to_owned(),
        };
        let address = resolve(&full).await?;
        if self == Reach::Loopback && !address.ip().is_loopback() {
            return Err(ApiError::refused(format!(
                "listen address {text} can be reached from other machines; start with --allow-remote if that is meant"
            )));
        }
        Ok(address)
    }
}

/// The first IPv4 address of a `host:port`.
pub(crate) async fn resolve(text: &str) -> Result<SocketAddr, ApiError> {
    let refused = |why: String| ApiError::refused(format!("address {text}: {why}"));
    let found = tokio::net::lookup_host(text)
        .await
        .map_err(|error| refused(format!("{error}; expected host:port")))?;
    let mut v4 = found.filter(|address| matches!(address.ip(), IpAddr::V4(_)));
    v4.next()
        .ok_or_else(|| refused("there is no IPv4 address, and the proxy knows no other".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reach: Reach, text: &str) -> Result<SocketAddr, ApiError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime
            .expect("a runtime")
            .block_on(reach.listen_address(text))
    }

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("127.0.0.1:6380", "127.0.0.1:6380"),
            ("localhost:0", "127.0.0.1:0"),
            ("", "127.0.0.1:0"),
        ] {
            let expected: SocketAddr = expected.parse().expect("an address");
            assert_eq!(read(Reach::Loopback, text), Ok(expected), "{text}");
        }
        let all: SocketAddr = "0.0.0.0:6380".parse().expect("an address");
        assert_eq!(read(Reach::Remote, ":6380"), Ok(all));
    }

    #[test]
    fn what_others_could_reach_has_to_be_allowed_by_name() {
        for text in [":6380", "0.0.0.0:6380"] {
            let error = read(Reach::Loopback, text).expect_err("refused");
            assert!(error.message.contains("--allow-remote"), "{error}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for text in ["6380", "localhost", "[::1]:6380", "127.0.0.1:99999"] {
            let error = read(Reach::Remote, text).expect_err("refused");
            assert!(error.message.contains(text), "{error}");
        }
    }
}
