//! Where a message begins and ends: a type byte, a length, that many bytes.

use crate::Lost;

/// The largest length that is believed: Postgres allocates no more than 1 GiB for a message, and its length
/// counts itself.
pub(super) const LENGTH_MAX: u32 = (1 << 30) + 4;

/// Type byte and length.
pub(super) const HEADER_BYTES: usize = 5;

/// The place in the message that is being read.
#[derive(Debug, Default)]
pub(super) struct Message {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Bytes of the body that are still to come, once the header is complete.
    left: usize,
}

/// What reading a part of a header has come to.
pub(super) enum Header {
    /// There is more of it.
    Partial,
    /// It is complete.
    Complete,
}

impl Message {
    /// Between two messages.
    pub(super) fn is_between(&self) -> bool {
        self.header_bytes == 0
    }

    /// In a body, which may be empty.
    pub(super) fn is_in_body(&self) -> bool {
        self.header_bytes == HEADER_BYTES
    }

    /// The type of the message whose header is complete.
    pub(super) fn kind(&self) -> u8 {
        self.header[0]
    }

    /// Bytes of the body that are still to come.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Some of the body has been read.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.left -= bytes;
    }

    /// The message is done with.
    pub(super) fn end(&mut self) {
        self.header_bytes = 0;
    }

    /// Reads the header from the begin of a non-empty input: the bytes read, and what it has come to.
    ///
    /// A type that `body_is_empty` does not know is refused at its first byte.
    pub(super) fn read_header(
        &mut self,
        input: &[u8],
        body_is_empty: fn(u8) -> Option<bool>,
    ) -> (usize, Result<Header, Lost>) {
        if self.header_bytes == 0 && body_is_empty(input[0]).is_none() {
            return (1, Err(Lost::NotTheProtocol));
        }
        let taken = input.len().min(HEADER_BYTES - self.header_bytes);
        self.header[self.header_bytes..self.header_bytes + taken].copy_from_slice(&input[..taken]);
        self.header_bytes += taken;
        if self.header_bytes < HEADER_BYTES {
            return (taken, Ok(Header::Partial));
        }
        let [kind, length @ ..] = self.header;
        let length = u32::from_be_bytes(length);
        let must_be_empty = body_is_empty(kind) == Some(true);
        if !(4..=LENGTH_MAX).contains(&length) || (must_be_empty && length != 4) {
            return (taken, Err(Lost::NotTheProtocol));
        }
        self.left = length as usize - 4;
        (taken, Ok(Header::Complete))
    }
}
