//! Short values of RESP3 that end with their line: null, boolean, double, big number.

use super::number::Scan;

/// One such value, in whatever pieces it comes. Only its form is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    value_type: u8,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Empty,
    Signed,
    Filled,
    Ended,
}

impl Token {
    pub(super) fn new(value_type: u8) -> Self {
        Self {
            value_type,
            form: Form::Empty,
        }
    }

    /// Reads on; the bytes consumed do not include one that is bad.
    pub(super) fn scan(&mut self, input: &[u8]) -> (usize, Scan) {
        for (at, &byte) in input.iter().enumerate() {
            if self.form == Form::Ended && byte == b'\n' {
                return (at + 1, Scan::Done(0));
            }
            match self.after(byte) {
                Some(form) => self.form = form,
                None => return (at, Scan::Bad),
            }
        }
        (input.len(), Scan::More)
    }

    fn after(&self, byte: u8) -> Option<Form> {
        match (self.value_type, self.form, byte) {
            (_, Form::Ended, _) => None,
            (b'_', Form::Empty, b'\r') | (_, Form::Filled, b'\r') => Some(Form::Ended),
            (b'#', Form::Empty, b't' | b'f') => Some(Form::Filled),
            (b'(', Form::Empty, b'+' | b'-') => Some(Form::Signed),
            (b'(', _, b'0'..=b'9') => Some(Form::Filled),
            (b',', _, b'0'..=b'9' | b'.' | b'+' | b'-') => Some(Form::Filled),
            // Exponents, infinities and what is no number.
            (b',', _, b'e' | b'E' | b'i' | b'n' | b'f' | b'a') => Some(Form::Filled),
            _ => None,
        }
    }
}
