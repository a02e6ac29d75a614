//! How many packets the kernel has dropped at a socket, and how many bytes wait there unread: the proof
//! that a black hole bites.
//!
//! Asked with `sock_diag(7)` over netlink, as `ss -m` does; needs no privilege.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;

const NETLINK_HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = NETLINK_HEADER_BYTES + 56;
/// `struct inet_diag_msg`, after which the attributes begin.
const ANSWER_BYTES: usize = NETLINK_HEADER_BYTES + 72;
/// `idiag_rqueue` in it.
const UNREAD_BYTES_AT: usize = NETLINK_HEADER_BYTES + 56;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const INET_DIAG_SKMEMINFO: u16 = 7;
const SK_MEMINFO_DROPS: usize = 8;
/// The kernel answers within the send; a lost answer must not hang us.
const ANSWER_DEADLINE: Duration = Duration::from_millis(500);

/// What the kernel tells of a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SocketSeen {
    /// Packets dropped so far.
    pub(crate) drops: u32,
    /// Bytes that have arrived, were acknowledged, and nobody has read; at a listener, connections
    /// that nobody has accepted.
    pub(crate) unread: u32,
}

/// Asks the kernel about sockets of this network namespace.
pub(crate) struct SockDiag(Socket);

impl SockDiag {
    pub(crate) fn open() -> io::Result<Self> {
        let protocol = Protocol::from(libc::NETLINK_SOCK_DIAG);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(protocol))?;
        socket.set_read_timeout(Some(ANSWER_DEADLINE))?;
        Ok(Self(socket))
    }

    /// Looks at a connected socket, or at a listener if there is no peer.
    /// `None` if there is no such socket.
    pub(crate) fn look(
        &self,
        local: SocketAddr,
        peer: Option<SocketAddr>,
    ) -> io::Result<Option<SocketSeen>> {
        self.0.send(&request(local, peer))?;
        let mut answer = [0; 1024];
        let count = (&self.0).read(&mut answer)?;
        parse(&answer[..count])
    }
}

fn request(local: SocketAddr, peer: Option<SocketAddr>) -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST_BYTES);
    request.extend((REQUEST_BYTES as u32).to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend([0; 8]);
    let wanted = 1_u8 << (INET_DIAG_SKMEMINFO - 1);
    request.extend([libc::AF_INET as u8, libc::IPPROTO_TCP as u8, wanted, 0]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(local.port().to_be_bytes());
    request.extend(peer.map_or(0, |peer| peer.port()).to_be_bytes());
    request.extend(ip_bytes(Some(local)));
    request.extend(ip_bytes(peer));
    request.extend([0; 4]);
    // No cookie: whichever socket has this address.
    request.extend([0xff; 8]);
    request
}

fn ip_bytes(address: Option<SocketAddr>) -> [u8; 16] {
    let mut bytes = [0; 16];
    if let Some(SocketAddr::V4(address)) = address {
        bytes[..4].copy_from_slice(&address.ip().octets());
    }
    bytes
}

fn parse(answer: &[u8]) -> io::Result<Option<SocketSeen>> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "sock_diag answered too little");
    let kind = u16_at(answer, 4).ok_or_else(short)?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let code = u32_at(answer, NETLINK_HEADER_BYTES)
            .ok_or_else(short)?
            .cast_signed();
        return match -code {
            libc::ENOENT => Ok(None),
            code => Err(io::Error::from_raw_os_error(code)),
        };
    }
    let mut at = ANSWER_BYTES;
    while let (Some(length), Some(kind)) = (u16_at(answer, at), u16_at(answer, at + 2)) {
        if kind == INET_DIAG_SKMEMINFO {
            let drops = u32_at(answer, at + 4 + 4 * SK_MEMINFO_DROPS).ok_or_else(short)?;
            let unread = u32_at(answer, UNREAD_BYTES_AT).ok_or_else(short)?;
            return Ok(Some(SocketSeen { drops, unread }));
        }
        at += usize::from(length).max(4).next_multiple_of(4);
    }
    Err(short())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_ne_bytes)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test says what it expected by failing"
)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    #[test]
    fn listeners_and_connections_are_found_and_what_is_gone_is_not() {
        let diag = SockDiag::open().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(local).unwrap();
        let peer = client.local_addr().unwrap();
        assert_eq!(
            diag.look(local, None).unwrap(),
            Some(SocketSeen {
                drops: 0,
                unread: 1
            })
        );
        client.write_all(b"seven..").unwrap();
        assert_eq!(
            diag.look(local, Some(peer)).unwrap(),
            Some(SocketSeen {
                drops: 0,
                unread: 7
            })
        );
        drop((client, listener));
        assert_eq!(diag.look(local, None).unwrap(), None);
    }

    #[test]
    fn an_answer_cut_short_anywhere_is_an_error_and_no_panic() {
        let mut answer = vec![0; ANSWER_BYTES];
        answer.extend(40_u16.to_ne_bytes());
        answer.extend(INET_DIAG_SKMEMINFO.to_ne_bytes());
        answer.extend([0; 32]);
        answer.extend(5_u32.to_ne_bytes());
        assert_eq!(
            parse(&answer).unwrap(),
            Some(SocketSeen {
                drops: 5,
                unread: 0
            })
        );
        for length in 0..answer.len() {
            assert!(parse(&answer[..length]).is_err(), "{length} bytes");
        }
    }
}
