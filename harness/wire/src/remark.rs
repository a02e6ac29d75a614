//! What a command says beside its name and its keys, as far as an audit or a rule has a use for it.

/// What a command says of the expiry of the key that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// It sets a value and its expiry in one: SETEX, PSETEX, SET with EX, PX, EXAT or PXAT, RESTORE with a time.
    WithValue,
    /// It sets the expiry of a value that is there: EXPIRE and its kin, GETEX with a time.
    Alone,
    /// It sets a value and leaves the expiry as it is: SET with KEEPTTL.
    Kept,
    /// It takes the expiry away: PERSIST, GETEX with PERSIST.
    Removed,
}

/// What a service says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientNote {
    /// The connection's name: CLIENT SETNAME, HELLO with SETNAME.
    Name(Box<str>),
    /// The client library: CLIENT SETINFO LIB-NAME.
    Library(Box<str>),
    /// Its version: CLIENT SETINFO LIB-VER.
    LibraryVersion(Box<str>),
}

/// Both, for one command. Whether the store did as it was told is for its reply to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remark {
    /// Of expiry; nothing for a command that says nothing of it, such as a plain SET.
    pub expiry: Option<Expiry>,
    /// Of the service.
    pub client: Option<ClientNote>,
}
