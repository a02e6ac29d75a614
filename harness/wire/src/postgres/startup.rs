//! The packets without a type byte, with which a connection begins.

use crate::Lost;

/// The server's own limit for such a packet.
const PACKET_BYTES_MAX: u32 = 10_000;

/// The first byte of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;
const PROTOCOL_MAJOR: u32 = 3;

/// Length and code.
const PREFIX_BYTES: usize = 8;

/// What a packet asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet {
    /// A session.
    Startup,
    /// Encryption; the server answers with a single byte.
    Encryption,
    /// The end of what another connection does; no answer comes.
    Cancel,
}

/// Reads one packet after another; keeps nothing of them.
#[derive(Debug, Default)]
pub(super) struct StartupPackets {
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    left: usize,
    packet: Option<Packet>,
}

impl StartupPackets {
    /// Reads from a non-empty input: the bytes read, and the packet that ended with them.
    pub(super) fn read(&mut self, input: &[u8]) -> (usize, Result<Option<Packet>, Lost>) {
        if self.packet.is_none() {
            return self.read_prefix(input);
        }
        let taken = input.len().min(self.left);
        self.left -= taken;
        (taken, Ok(self.complete()))
    }

    fn read_prefix(&mut self, input: &[u8]) -> (usize, Result<Option<Packet>, Lost>) {
        match (self.prefix_bytes, input[0]) {
            (0, TLS_HANDSHAKE) => return (1, Err(Lost::Encrypted)),
            (0, 1..) => return (1, Err(Lost::NotTheProtocol)),
            _ => {}
        }
        let taken = input.len().min(PREFIX_BYTES - self.prefix_bytes);
        self.prefix[self.prefix_bytes..self.prefix_bytes + taken].copy_from_slice(&input[..taken]);
        self.prefix_bytes += taken;
        if self.prefix_bytes < PREFIX_BYTES {
            return (taken, Ok(None));
        }
        let [l0, l1, l2, l3, c0, c1, c2, c3] = self.prefix;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let packet = match u32::from_be_bytes([c0, c1, c2, c3]) {
            SSL_REQUEST | GSSENC_REQUEST if length == 8 => Packet::Encryption,
            CANCEL_REQUEST if length >= 12 => Packet::Cancel,
            version if version >> 16 == PROTOCOL_MAJOR && length > 8 => Packet::Startup,
            _ => return (taken, Err(Lost::NotTheProtocol)),
        };
        if length > PACKET_BYTES_MAX {
            return (taken, Err(Lost::NotTheProtocol));
        }
        self.left = length as usize - PREFIX_BYTES;
        self.packet = Some(packet);
        (taken, Ok(self.complete()))
    }

    fn complete(&mut self) -> Option<Packet> {
        if self.left > 0 {
            return None;
        }
        // The parameters of a session stay with the server, but the buffer has no reason to keep a cancel key.
        self.prefix = [0; PREFIX_BYTES];
        self.prefix_bytes = 0;
        self.packet.take()
    }
}
