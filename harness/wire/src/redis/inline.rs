//! A command typed as a line, as `redis-cli` over netcat would: words and quotes.

/// Splits a line into its words by the rules of Redis, or nothing if its quotes do not match.
pub(super) fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let begin = rest.iter().position(|byte| !is_space(*byte));
        let Some(begin) = begin else {
            return Some(words);
        };
        let (word, length) = word(&rest[begin..])?;
        words.push(word);
        rest = &rest[begin + length..];
    }
}

/// Other control bytes are never part of a line that is decoded.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The word at the begin of the input, and how far it reaches.
fn word(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(&byte) = input.get(at) {
        match byte {
            _ if is_space(byte) => break,
            b'"' | b'\'' => {
                at = quoted(input, at + 1, byte, &mut word)?;
                return is_end(input, at).then_some((word, at));
            }
            _ => word.push(byte),
        }
        at += 1;
    }
    Some((word, at))
}

fn is_end(input: &[u8], at: usize) -> bool {
    input.get(at).is_none_or(|byte| is_space(*byte))
}

/// Reads up to the closing quote; the place after it, or nothing if there is none.
fn quoted(input: &[u8], mut at: usize, quote: u8, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *input.get(at..)? {
            [b'\\', b'x', high, low, ..] if quote == b'"' && is_hex(high, low) => {
                word.push(nibble(high) << 4 | nibble(low));
                at += 4;
            }
            [b'\\', byte, ..] if quote == b'"' => {
                word.push(unescaped(byte));
                at += 2;
            }
            [b'\\', b'\'', ..] if quote == b'\'' => {
                word.push(b'\'');
                at += 2;
            }
            [byte, ..] if byte == quote => return Some(at + 1),
            [byte, ..] => {
                word.push(byte);
                at += 1;
            }
            [] => return None,
        }
    }
}

fn is_hex(high: u8, low: u8) -> bool {
    high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
}

fn nibble(digit: u8) -> u8 {
    (digit as char).to_digit(16).unwrap_or(0) as u8
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        _ => byte,
    }
}
