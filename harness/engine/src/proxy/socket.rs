//! What is done to sockets below tokio: the port that is kept, resets, packet drops.

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, TcpKeepalive, Type};
use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// As many handshakes as the kernel completes ahead of us; a burst of clients must not be refused.
const BACKLOG: i32 = 1024;

/// On loopback a handshake takes microseconds, or it is not going to happen.
const CLOG_DEADLINE: Duration = Duration::from_millis(20);

/// Bounds what [`drain`] reads from a peer that never stops sending.
const DRAIN_READS: usize = 64;

/// Part of every kernel, and allowed to everybody.
const LEAST_CONGESTION_CONTROL: &[u8] = b"reno";

/// The least that the kernel allows.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// `BPF_RET | BPF_K` with 0: of every packet, keep nothing.
const DROP_ALL: SockFilter = SockFilter::new(0x06, 0, 0, 0);

/// Binds a port, a free one of loopback if none is asked for, and never listens: it keeps the port while the
/// listener is closed.
///
/// `SO_REUSEPORT` lets the listener share the port. The kernel offers such a port neither to other
/// `bind(0)` calls nor as source of an outgoing connection, so that no one slips in meanwhile. Not
/// `SO_REUSEADDR`: with it, whoever sets it too could listen on the port while we do not.
pub(crate) fn bind_holder(asked: Option<SocketAddr>) -> io::Result<(Socket, SocketAddr)> {
    let asked = asked.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    if asked.port() != 0 {
        see_free(asked)?;
    }
    let holder = bind(asked, false)?;
    let address = holder
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("the bound address is no internet address"))?;
    Ok((holder, address))
}

/// Listens on the held port.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address, true)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// For the data path of one connection: what is written goes at once.
///
/// Nothing is lost or shared on loopback, so that the simplest congestion control does; the system's default may
/// be one that paces (BBR), which costs time with each segment and holds segments back.
pub(crate) fn make_prompt(stream: &TcpStream) {
    // Both fail on a connection that is dead already, which the first read finds out.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_congestion(LEAST_CONGESTION_CONTROL);
}

/// Another proxy of the same user could share the port with us, by `SO_REUSEPORT`, and with it the connections.
/// This socket cannot.
fn see_free(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// `SO_REUSEADDR` goes to the listener alone, for the sake of the connections that inherit it: what is left of them
/// when we have ended (`TIME_WAIT`) does not make the port look taken to [`see_free`].
fn bind(address: SocketAddr, is_listener: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(is_listener)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Ends listening at once. Closing alone would not: a child of ours between fork and exec has a copy
/// of the descriptor, and the socket would listen in there for another moment.
pub(crate) fn end_listening(listener: &TcpListener) {
    // Can only fail on a socket that does not listen.
    let _ = SockRef::from(listener).shutdown(Shutdown::Read);
}

/// Takes a connection from the accept queue at once, without waiting for the runtime to notice it.
pub(crate) fn accept_now(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    let (socket, peer) = SockRef::from(listener).accept().ok()?;
    socket.set_nonblocking(true).ok()?;
    let stream = TcpStream::from_std(socket.into()).ok()?;
    Some((stream, peer.as_socket()?))
}

/// Makes the drop of the stream send a reset instead of an orderly end.
pub(crate) fn reset_on_drop(stream: &TcpStream) {
    // Can only fail on a socket that is no TCP socket.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Throws away what has arrived, as closing a socket with unread bytes sends a reset, not a FIN.
pub(crate) fn drain(stream: &TcpStream, scratch: &mut [u8]) {
    let socket = SockRef::from(stream);
    let mut socket: &Socket = &socket;
    for _ in 0..DRAIN_READS {
        match socket.read(scratch) {
            Ok(count) if count > 0 => {}
            _ => return,
        }
    }
}

/// Drops every packet that arrives at the socket, before TCP sees (and acknowledges) it.
pub(crate) fn drop_packets<S: AsFd>(socket: &S) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_keepalive(false)?;
    socket.attach_filter(&[DROP_ALL])
}

/// Whether this process may attach a packet filter. Some kernels demand `CAP_NET_ADMIN` for it.
pub(crate) fn may_filter() -> bool {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))
        .and_then(|socket| socket.attach_filter(&[DROP_ALL]))
        .is_ok()
}

/// Fills the accept queue of a listener with connections of our own, so that the kernel drops every
/// further SYN. They must be kept until [`unclog`].
///
/// A queue of length 1 holds two. Length 0 would make the kernel suspect a SYN flood.
pub(crate) fn clog(listener: &TcpListener) -> io::Result<Vec<std::net::TcpStream>> {
    SockRef::from(listener).listen(1)?;
    let address = listener.local_addr()?;
    let mut fillers = Vec::new();
    for _ in 0..2 {
        match std::net::TcpStream::connect_timeout(&address, CLOG_DEADLINE) {
            Ok(filler) => fillers.push(filler),
            // A connection of the subject was faster: the queue is full all the same.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
            Err(error) => return Err(error),
        }
    }
    Ok(fillers)
}

/// Undoes [`clog`], but for the fillers, which wait to be accepted.
pub(crate) fn unclog(listener: &TcpListener) -> io::Result<()> {
    SockRef::from(listener).listen(BACKLOG)
}

/// Undoes [`drop_packets`].
pub(crate) fn pass_packets<S: AsFd>(socket: &S) -> io::Result<()> {
    SockRef::from(socket).detach_filter()
}

/// Finds out whether the peer gave up while its packets were dropped: it would not tell again.
pub(crate) fn probe_peer(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(PROBE_INTERVAL)
        .with_interval(PROBE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
