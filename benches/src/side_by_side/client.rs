//! The load's own client on Redis: raw sockets, so that the client costs little and its time is known.

use crate::BenchError;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Redis answers in microseconds; whoever is silent for that long is gone.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// What is read at once.
pub(super) const SCRATCH_BYTES: usize = 256 * 1024;

/// Of each reply so many bytes are compared, the others counted: comparing a megabyte takes time of the load's.
const COMPARED_BYTES: usize = 4096;

/// A command, and the one reply that is right.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) request: Vec<u8>,
    reply: Vec<u8>,
}

impl Operation {
    pub(super) fn ping() -> Self {
        Self {
            request: command(&[b"PING"]),
            reply: b"+PONG\r\n".to_vec(),
        }
    }

    pub(super) fn set(key: &str, value: &[u8]) -> Self {
        Self {
            request: command(&[b"SET", key.as_bytes(), value]),
            reply: b"+OK\r\n".to_vec(),
        }
    }

    pub(super) fn get(key: &str, value: &[u8]) -> Self {
        Self {
            request: command(&[b"GET", key.as_bytes()]),
            reply: bulk(value),
        }
    }

    fn auth(password: &str) -> Self {
        Self {
            request: command(&[b"AUTH", password.as_bytes()]),
            reply: b"+OK\r\n".to_vec(),
        }
    }
}

fn command(arguments: &[&[u8]]) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        wire.extend(bulk(argument));
    }
    wire
}

fn bulk(value: &[u8]) -> Vec<u8> {
    let head = format!("${}\r\n", value.len());
    [head.as_bytes(), value, b"\r\n"].concat()
}

/// One connection on which one operation is repeated.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    reply: Vec<u8>,
    /// How far the reply that is being read has come.
    at: usize,
    is_unblocked: bool,
}

impl Client {
    /// Connects and signs in; blocking from then on.
    pub(super) fn connect(
        address: SocketAddr,
        password: &str,
        operation: &Operation,
    ) -> Result<Self, BenchError> {
        let stream =
            TcpStream::connect_timeout(&address, ANSWER_DEADLINE).map_err(BenchError::Traffic)?;
        let set = |done: std::io::Result<()>| done.map_err(BenchError::Traffic);
        set(stream.set_nodelay(true))?;
        set(stream.set_read_timeout(Some(ANSWER_DEADLINE)))?;
        set(stream.set_write_timeout(Some(ANSWER_DEADLINE)))?;
        let auth = Operation::auth(password);
        let mut client = Self {
            stream,
            reply: auth.reply,
            at: 0,
            is_unblocked: false,
        };
        client.ask(&auth.request, &mut [0; 64])?;
        client.reply = operation.reply.clone();
        Ok(client)
    }

    /// From now on [`Client::receive`] returns at once.
    pub(super) fn unblock(&mut self) -> Result<(), BenchError> {
        self.is_unblocked = true;
        self.stream
            .set_nonblocking(true)
            .map_err(BenchError::Traffic)
    }

    /// Sends and waits for one reply; the client must be blocking.
    pub(super) fn ask(&mut self, request: &[u8], scratch: &mut [u8]) -> Result<(), BenchError> {
        self.send(request)?;
        while self.receive(scratch)? == 0 {}
        Ok(())
    }

    /// Sends all of it. Unblocked, only what surely fits into the socket's buffer may be sent.
    pub(super) fn send(&mut self, request: &[u8]) -> Result<(), BenchError> {
        self.stream.write_all(request).map_err(BenchError::Traffic)
    }

    /// Reads once; how many replies that has completed.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> Result<usize, BenchError> {
        let read = match self.stream.read(scratch) {
            Ok(0) => return Err(BenchError::wrong("a reply", "the end of the connection")),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock && self.is_unblocked => {
                return Ok(0);
            }
            Err(error) => return Err(BenchError::Traffic(error)),
        };
        self.count(&scratch[..read])
    }

    fn count(&mut self, mut rest: &[u8]) -> Result<usize, BenchError> {
        let mut completed = 0;
        while !rest.is_empty() {
            let wanted = &self.reply[self.at..];
            let (now, later) = rest.split_at(wanted.len().min(rest.len()));
            let compared = now.len().min(COMPARED_BYTES.saturating_sub(self.at));
            if now[..compared] != wanted[..compared] {
                let seen = &now[..compared.min(64)];
                return Err(BenchError::wrong(
                    "the reply",
                    seen.escape_ascii().to_string(),
                ));
            }
            self.at += now.len();
            if self.at == self.reply.len() {
                self.at = 0;
                completed += 1;
            }
            rest = later;
        }
        Ok(completed)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
