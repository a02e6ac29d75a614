//! What is kept of a message at most. All else streams by.

/// A head that is longer is reported as it is known by then, with `is_whole: false`: 64 KiB, enough for a script
/// that is sent in full, and little enough to be held back for a decision.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes kept of one key, or of one SQL text.
pub const KEY_BYTES_MAX: usize = 1024;

/// Keys kept of one command; the others are counted.
pub const KEYS_MAX: usize = 64;

/// Bytes kept of a command's name. The longest of Redis have 20.
pub const NAME_BYTES_MAX: usize = 64;

/// Bytes kept of what a client calls itself.
pub const CLIENT_BYTES_MAX: usize = 64;

/// Bytes kept of an error's text.
pub const ERROR_BYTES_MAX: usize = 256;

/// Commands without a reply that are kept track of on one connection.
pub const PENDING_MAX: usize = 1 << 20;

/// Replies inside replies; Redis itself nests far less.
pub const DEPTH_MAX: usize = 128;
