//! Arguments behind a command's keys that are looked at all the same: an expiry, a client's name.

use crate::limits::CLIENT_BYTES_MAX;
use crate::remark::{ClientNote, Expiry, Remark};

/// Of a word that is compared with those of the protocol; all of them are shorter.
const WORD_BYTES_MAX: usize = 16;

/// Which arguments of a command say something. Places count from the name, which is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Says {
    #[default]
    Nothing,
    /// The name alone says it.
    Expiry(Expiry),
    /// Options of SET, from the third argument on.
    SetOptions,
    /// Options of GETEX, from the second on.
    GetexOptions,
    /// The second argument of RESTORE: 0 for none.
    RestoreTime,
    /// The second of CLIENT SETNAME.
    ClientName,
    /// The second and third of CLIENT SETINFO.
    ClientInfo,
    /// Options of HELLO, from the second on; AUTH and its password are skipped.
    HelloOptions,
}

pub(super) const fn says(name: &[u8]) -> Says {
    match name {
        b"SETEX" | b"PSETEX" => Says::Expiry(Expiry::WithValue),
        b"EXPIRE" | b"PEXPIRE" | b"EXPIREAT" | b"PEXPIREAT" => Says::Expiry(Expiry::Alone),
        b"PERSIST" => Says::Expiry(Expiry::Removed),
        b"SET" => Says::SetOptions,
        b"GETEX" => Says::GetexOptions,
        b"RESTORE" => Says::RestoreTime,
        b"CLIENT SETNAME" => Says::ClientName,
        b"CLIENT SETINFO" => Says::ClientInfo,
        b"HELLO" => Says::HelloOptions,
        _ => Says::Nothing,
    }
}

/// Which of the two that CLIENT SETINFO tells.
#[derive(Debug, Clone, Copy)]
enum Info {
    Library,
    LibraryVersion,
}

/// Follows the arguments of one command.
#[derive(Debug)]
pub(super) struct Listener {
    says: Says,
    /// The next place that is looked at.
    next: u32,
    names_next: bool,
    info: Option<Info>,
    remark: Remark,
}

impl Listener {
    pub(super) fn new(says: Says) -> Self {
        let next = match says {
            Says::Nothing | Says::Expiry(_) => u32::MAX,
            Says::SetOptions => 3,
            Says::GetexOptions
            | Says::RestoreTime
            | Says::ClientName
            | Says::ClientInfo
            | Says::HelloOptions => 2,
        };
        let expiry = match says {
            Says::Expiry(expiry) => Some(expiry),
            _ => None,
        };
        Self {
            says,
            next,
            names_next: says == Says::ClientName,
            info: None,
            remark: Remark {
                expiry,
                client: None,
            },
        }
    }

    /// How many bytes of the argument at this place are wanted.
    pub(super) fn wanted(&self, at: u32) -> usize {
        match () {
            () if at != self.next => 0,
            () if self.names_next || self.info.is_some() => CLIENT_BYTES_MAX,
            () => WORD_BYTES_MAX,
        }
    }

    /// The argument at this place has passed: what was wanted of it, and its length.
    pub(super) fn argument(&mut self, at: u32, kept: &[u8], length: u64) {
        if at != self.next {
            return;
        }
        if self.names_next {
            self.note(ClientNote::Name(text(kept)));
        } else if let Some(info) = self.info {
            self.note(match info {
                Info::Library => ClientNote::Library(text(kept)),
                Info::LibraryVersion => ClientNote::LibraryVersion(text(kept)),
            });
        } else {
            let is_all = kept.len() as u64 == length;
            self.word(at, if is_all { kept } else { b"" });
        }
    }

    fn note(&mut self, note: ClientNote) {
        self.remark.client = Some(note);
        self.next = u32::MAX;
    }

    fn word(&mut self, at: u32, word: &[u8]) {
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        let is_time = || ["EX", "PX", "EXAT", "PXAT"].into_iter().any(is);
        self.next = at.saturating_add(1);
        match self.says {
            Says::SetOptions if is_time() => self.expiry(Expiry::WithValue),
            Says::SetOptions if is("KEEPTTL") => self.expiry(Expiry::Kept),
            Says::GetexOptions if is_time() => self.expiry(Expiry::Alone),
            Says::GetexOptions if is("PERSIST") => self.expiry(Expiry::Removed),
            Says::RestoreTime if word != b"0" => self.expiry(Expiry::WithValue),
            Says::RestoreTime => self.next = u32::MAX,
            Says::ClientInfo if is("LIB-NAME") => self.info = Some(Info::Library),
            Says::ClientInfo if is("LIB-VER") => self.info = Some(Info::LibraryVersion),
            Says::ClientInfo => self.next = u32::MAX,
            Says::HelloOptions if is("AUTH") => self.next = at.saturating_add(3),
            Says::HelloOptions if is("SETNAME") => self.names_next = true,
            _ => {}
        }
    }

    /// One is enough: the store refuses a command with two.
    fn expiry(&mut self, expiry: Expiry) {
        self.remark.expiry = Some(expiry);
        self.next = u32::MAX;
    }

    /// What was said, once all has passed.
    pub(super) fn take(&mut self) -> Remark {
        std::mem::take(&mut self.remark)
    }
}

fn text(kept: &[u8]) -> Box<str> {
    String::from_utf8_lossy(kept).into()
}
