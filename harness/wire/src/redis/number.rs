//! The digits of a length, a count or an integer, in whatever pieces they come; and what has such a length.

/// A number up to its CR LF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Number {
    magnitude: u64,
    digits: u8,
    sign: Option<bool>,
    is_lenient: bool,
    has_cr: bool,
}

/// What came of reading some bytes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// All of the input belongs to it, and more is to come.
    More,
    /// Its LF was read.
    Done(i64),
    /// The next byte cannot belong to a number.
    Bad,
}

impl Number {
    /// As both sides demand of lengths and counts: no plus, no leading zeros.
    pub(super) fn strict() -> Self {
        Self::default()
    }

    /// An integer as a value, which the protocol lets begin with a plus.
    pub(super) fn lenient() -> Self {
        Self {
            is_lenient: true,
            ..Self::default()
        }
    }

    /// Reads on; the bytes consumed do not include one that is bad.
    pub(super) fn scan(&mut self, input: &[u8]) -> (usize, Scan) {
        if !self.has_begun()
            && let Some((value, read)) = quick(input)
        {
            return (read, Scan::Done(value));
        }
        for (at, &byte) in input.iter().enumerate() {
            let is_good = match byte {
                _ if self.has_cr => {
                    return match byte {
                        b'\n' => (at + 1, Scan::Done(self.value())),
                        _ => (at, Scan::Bad),
                    };
                }
                b'0'..=b'9' => self.digit(byte - b'0'),
                b'\r' => {
                    self.has_cr = true;
                    self.digits > 0
                }
                b'-' => self.signed(true),
                b'+' => self.is_lenient && self.signed(false),
                _ => false,
            };
            if !is_good {
                return (at, Scan::Bad);
            }
        }
        (input.len(), Scan::More)
    }

    fn has_begun(&self) -> bool {
        self.digits > 0 || self.sign.is_some()
    }

    fn signed(&mut self, is_negative: bool) -> bool {
        let is_first = !self.has_begun();
        self.sign = Some(is_negative);
        is_first
    }

    fn digit(&mut self, digit: u8) -> bool {
        let is_negative = self.sign == Some(true);
        if !self.is_lenient && self.digits > 0 && self.magnitude == 0 {
            return false;
        }
        if !self.is_lenient && is_negative && self.digits == 0 && digit == 0 {
            return false;
        }
        self.digits = 1;
        let grown = self
            .magnitude
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u64::from(digit)));
        match grown {
            Some(magnitude) if magnitude <= i64::MAX as u64 + u64::from(is_negative) => {
                self.magnitude = magnitude;
                true
            }
            _ => false,
        }
    }

    fn value(&self) -> i64 {
        let magnitude = self.magnitude as i64;
        if self.sign == Some(true) {
            magnitude.wrapping_neg()
        } else {
            magnitude
        }
    }
}

/// A number of up to three digits with its CR LF, if that is what the input begins with, and how many bytes it
/// is. Nearly all are: the rest goes the long way.
pub(super) fn quick(input: &[u8]) -> Option<(i64, usize)> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    match *input {
        [units, b'\r', b'\n', ..] => Some((digit(units)?, 3)),
        [b'1'..=b'9', units, b'\r', b'\n', ..] => Some((digit(input[0])? * 10 + digit(units)?, 4)),
        [b'1'..=b'9', tens, units, b'\r', b'\n', ..] => {
            let hundreds = digit(input[0])? * 100;
            Some((hundreds + digit(tens)? * 10 + digit(units)?, 5))
        }
        _ => None,
    }
}

/// A string of that length with its CR LF, if all of it is there, and how many bytes they are.
pub(super) fn with_crlf(input: &[u8], length: u64) -> Option<(&[u8], usize)> {
    let length = usize::try_from(length).ok()?;
    let end = length.checked_add(2)?;
    (input.get(length..end)? == b"\r\n").then(|| (&input[..length], end))
}
