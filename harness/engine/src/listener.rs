//! Who listens on a port: an answer from a stranger must not be taken for the subject's.
//!
//! Two harnesses on one machine may choose the same free port in the same moment. The subject of the
//! second then ends because its port is taken, or, worse, the first one's answers for it.

use crate::process_tree::{self, ProcessSeen};
use std::fmt;
use std::fs;

/// The states of a listening and of a connected socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";
const CONNECTED: &str = "01";

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its id.
    pub pid: i32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// Who listens on a port that was given to a process, if it is somebody who started before that did.
/// `None` if it cannot be seen, as with another user's process: then the port's answers are taken for
/// what they seem.
///
/// Younger ones are not strangers: a subject may hand its port to a child, or to a container's proxy.
pub fn stranger(port: u16, (given_to, start_ticks): (i32, u64)) -> Option<Listener> {
    let sockets = sockets_on(port);
    if sockets.is_empty() || holds(given_to, &sockets) {
        return None;
    }
    holder(&sockets, |process| process.start_ticks < start_ticks)
}

/// Who listens on a port; `None` if nobody does, or if it cannot be seen.
pub fn on(port: u16) -> Option<Listener> {
    holder(&sockets_on(port), |_| true)
}

fn sockets_on(port: u16) -> Vec<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| listening(&fs::read_to_string(table).unwrap_or_default(), port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect()
}

fn holder(sockets: &[String], is_meant: impl Fn(&ProcessSeen) -> bool) -> Option<Listener> {
    let processes = process_tree::all().into_iter();
    let pids = processes.filter(is_meant).map(|process| process.pid);
    let holder = |pid: &i32| holds(*pid, sockets);
    pids.filter(|_| !sockets.is_empty())
        .find(holder)
        .map(|pid| Listener {
            pid,
            name: process_tree::name(pid),
        })
}

/// How many bytes the kernel has received for connections to a port, and nobody has read yet.
pub(crate) fn unread_bytes(port: u16) -> u64 {
    unread(
        &fs::read_to_string("/proc/net/tcp").unwrap_or_default(),
        port,
    )
}

fn unread(table: &str, port: u16) -> u64 {
    let port = format!(":{port:04X}");
    let waiting = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, queues) = (fields.get(1)?, fields.get(3)?, fields.get(4)?);
        let is_it = local.ends_with(&port) && *state == CONNECTED;
        let (_, received) = queues.split_once(':')?;
        is_it.then(|| u64::from_str_radix(received, 16).ok())?
    };
    table.lines().filter_map(waiting).sum()
}

/// The inodes of the sockets that listen on a port, from a table of the kernel.
fn listening(table: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&port) && *state == LISTEN).then(|| (*inode).to_owned())
    };
    table.lines().filter_map(inode).collect()
}

fn holds(pid: i32, sockets: &[String]) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd"));
    files.into_iter().flatten().flatten().any(|file| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        sockets.iter().any(|socket| *socket == target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_stranger_is_older_and_not_the_process_itself() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("its address").port();
        let own_pid = i32::try_from(std::process::id()).expect("a pid");
        let own_start = process_tree::look(own_pid).expect("we live").start_ticks;
        let found = stranger(port, (1, own_start + 1)).expect("we listen");
        assert_eq!(found.pid, own_pid);
        assert_eq!(on(port), Some(found));
        assert_eq!(stranger(port, (own_pid, own_start)), None, "its own port");
        assert_eq!(stranger(port, (1, own_start)), None, "we are no older");
        drop(socket);
        assert_eq!(stranger(port, (1, own_start + 1)), None, "closed");
        assert_eq!(on(port), None, "closed");
    }

    #[test]
    fn bytes_that_nobody_has_read_are_counted_for_their_port_alone() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt";
        let connected =
            "   0: 0100007F:1F90 0100007F:C350 01 00000000:0000001C 00:00000000 00000000";
        let other = "   1: 0100007F:1F91 0100007F:C351 01 00000000:00000005 00:00000000 00000000";
        let listens = "   2: 0100007F:1F90 00000000:0000 0A 00000000:00000001 00:00000000 00000000";
        let table = [head, connected, other, listens].join("\n");
        assert_eq!(unread(&table, 8080), 28);
    }
}
