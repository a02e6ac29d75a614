//! The proof that a black hole bites: what the kernel counts at its sockets.

use crate::proxy::fault::Evidence;
use crate::proxy::sock_diag::{SockDiag, SocketSeen};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Watched {
    /// `None` for the listener.
    peer: Option<SocketAddr>,
    before: SocketSeen,
    latest: SocketSeen,
}

struct Sockets {
    diag: SockDiag,
    watched: Vec<Watched>,
    is_over: bool,
}

/// Sockets under watch since the fault began.
pub(super) struct BlackholeBite {
    local: SocketAddr,
    sockets: Mutex<Sockets>,
}

impl BlackholeBite {
    pub(super) fn open(local: SocketAddr) -> io::Result<Self> {
        let diag = SockDiag::open()?;
        let sockets = Mutex::new(Sockets {
            diag,
            watched: Vec::new(),
            is_over: false,
        });
        Ok(Self { local, sockets })
    }

    /// Counts at a socket from here on.
    pub(super) fn watch(&self, peer: Option<SocketAddr>) -> io::Result<()> {
        let mut sockets = self.lock();
        if let Some(before) = sockets.diag.look(self.local, peer)? {
            sockets.watched.push(Watched {
                peer,
                before,
                latest: before,
            });
        }
        Ok(())
    }

    /// Counts for the last time: what comes now is no bite any more.
    pub(super) fn finish(&self) {
        let mut sockets = self.lock();
        sockets.refresh(self.local);
        sockets.is_over = true;
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sockets {
    /// A socket that is gone keeps its latest count.
    fn refresh(&mut self, local: SocketAddr) {
        if self.is_over {
            return;
        }
        for watched in &mut self.watched {
            if let Ok(Some(latest)) = self.diag.look(local, watched.peer) {
                watched.latest = latest;
            }
        }
    }
}

impl Evidence for BlackholeBite {
    fn bite(&self) -> Option<String> {
        let mut sockets = self.lock();
        sockets.refresh(self.local);
        let (mut attempts, mut packets, mut unread_bytes, mut connections) = (0, 0, 0, 0);
        for Watched {
            peer,
            before,
            latest,
        } in &sockets.watched
        {
            let dropped = latest.drops.wrapping_sub(before.drops);
            let unread = latest.unread.saturating_sub(before.unread);
            match peer {
                None => attempts += dropped,
                // One dropped packet may be an acknowledgement that was under way.
                Some(_) if dropped < 2 && unread == 0 => {}
                Some(_) => {
                    packets += dropped;
                    unread_bytes += unread;
                    connections += 1;
                }
            }
        }
        (attempts + connections > 0).then(|| {
            format!(
                "{packets} packets of {connections} connections and {attempts} packets of attempts \
                 to connect were dropped, {unread_bytes} bytes left unread"
            )
        })
    }
}
