//! What an ErrorResponse says: SQLSTATE and text.

use crate::limits::ERROR_BYTES_MAX;

/// Reads the fields of an ErrorResponse as they come.
#[derive(Debug, Default)]
pub(super) struct ErrorText {
    /// The type of the field that is being read; none between two fields.
    field: Option<u8>,
    code: Vec<u8>,
    message: Vec<u8>,
}

impl ErrorText {
    /// Forgets the last one.
    pub(super) fn clear(&mut self) {
        self.field = None;
        self.code.clear();
        self.message.clear();
    }

    /// Reads more of the body.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            let Some(field) = self.field else {
                // A zero ends the list; what follows it is read as if it were another, which harms nothing.
                self.field = (first != 0).then_some(first);
                bytes = rest;
                continue;
            };
            let end = bytes.iter().position(|&byte| byte == 0);
            let (value, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.keep(field, value);
            bytes = rest;
            if end.is_some() {
                self.field = None;
                bytes = &bytes[1..];
            }
        }
    }

    fn keep(&mut self, field: u8, value: &[u8]) {
        let kept = match field {
            b'C' => &mut self.code,
            b'M' => &mut self.message,
            _ => return,
        };
        let room = ERROR_BYTES_MAX - kept.len();
        kept.extend_from_slice(&value[..value.len().min(room)]);
    }

    /// `SQLSTATE text`, cut at a character.
    pub(super) fn text(&self) -> Box<str> {
        let code = String::from_utf8_lossy(&self.code);
        let message = String::from_utf8_lossy(&self.message);
        let mut text = format!("{code} {message}");
        let end = text.floor_char_boundary(ERROR_BYTES_MAX);
        text.truncate(end);
        text.into_boxed_str()
    }
}
