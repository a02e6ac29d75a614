//! Keys and statements as patterns: what differs from one to the next is a `*`.

/// Longer patterns are cut.
const PATTERN_CHARS_MAX: usize = 100;

/// A word with a digit in it is an id or a token from so many letters on, and all of it goes.
const TOKEN_BYTES_MIN: usize = 16;

/// The same for a word of hexadecimal digits alone.
const HEX_BYTES_MIN: usize = 8;

/// The lengths of the parts of a UUID.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// A key without what is an id: UUIDs, hexadecimal numbers, long words with digits, digits, and bytes that are
/// not printable ASCII, are a `*` each; several in a row are one.
pub fn of_key(key: &[u8]) -> String {
    let mut pattern = String::new();
    let mut rest = key;
    while let Some(&first) = rest.first() {
        if let Some(length) = uuid(rest) {
            star(&mut pattern);
            rest = &rest[length..];
            continue;
        }
        let is_word = |byte: &&u8| byte.is_ascii_alphanumeric();
        let length = rest.iter().take_while(is_word).count();
        if length > 0 {
            word(&rest[..length], &mut pattern);
            rest = &rest[length..];
        } else {
            match first {
                b' '..=b'~' => pattern.push(char::from(first)),
                _ => star(&mut pattern),
            }
            rest = &rest[1..];
        }
    }
    cut(pattern)
}

fn star(pattern: &mut String) {
    if !pattern.ends_with('*') {
        pattern.push('*');
    }
}

fn word(word: &[u8], pattern: &mut String) {
    let has_digit = word.iter().any(u8::is_ascii_digit);
    let is_hex = word.iter().all(u8::is_ascii_hexdigit);
    let is_token = has_digit && word.len() >= TOKEN_BYTES_MIN;
    let is_number = is_hex && word.len() >= HEX_BYTES_MIN && has_digit;
    if is_token || is_number || is_hex && word.len() >= TOKEN_BYTES_MIN {
        return star(pattern);
    }
    for &byte in word {
        match byte {
            b'0'..=b'9' => star(pattern),
            _ => pattern.push(char::from(byte)),
        }
    }
}

/// The length of a UUID at the begin of the bytes.
fn uuid(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    for (part, length) in UUID.into_iter().enumerate() {
        if part > 0 {
            (bytes.get(at) == Some(&b'-')).then_some(())?;
            at += 1;
        }
        let digits = bytes.get(at..at + length)?;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
        at += length;
    }
    let goes_on = bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    (!goes_on).then_some(at)
}

/// A statement without its literals: strings and numbers are a `*`, comments and doubled blanks go.
pub fn of_statement(sql: &[u8]) -> String {
    let text = String::from_utf8_lossy(sql);
    let mut rest: &str = &text;
    let mut pattern = String::new();
    while let Some(first) = rest.chars().next() {
        let length = literal(rest, &pattern);
        if length > 0 {
            star(&mut pattern);
            rest = &rest[length..];
            continue;
        }
        let length = comment(rest).unwrap_or(first.len_utf8());
        match first {
            _ if length > first.len_utf8() => blank(&mut pattern),
            _ if first.is_whitespace() => blank(&mut pattern),
            _ => pattern.push(first),
        }
        rest = &rest[length..];
    }
    cut(pattern.trim().to_owned())
}

fn blank(pattern: &mut String) {
    if !pattern.is_empty() && !pattern.ends_with(' ') {
        pattern.push(' ');
    }
}

/// The length of a literal at the begin of the text; 0 if there is none. One without an end, as a text that was
/// cut has it, reaches to the end of the text.
fn literal(rest: &str, before: &str) -> usize {
    let is_in_word = before.ends_with(|c: char| c.is_alphanumeric() || "_$".contains(c));
    if rest.starts_with('\'') {
        let is_escaped = before.ends_with(['e', 'E'])
            && !before[..before.len() - 1].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        return quoted(rest, is_escaped);
    }
    if is_in_word {
        return 0;
    }
    match dollar_tag(rest) {
        Some(tag) => {
            let inner = &rest[tag.len()..];
            inner
                .find(tag)
                .map_or(rest.len(), |end| 2 * tag.len() + end)
        }
        None if rest.starts_with(|c: char| c.is_ascii_digit()) => {
            let is_number = |c: char| c.is_ascii_alphanumeric() || c == '.';
            rest.find(|c| !is_number(c)).unwrap_or(rest.len())
        }
        None => 0,
    }
}

fn quoted(rest: &str, is_escaped: bool) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if is_escaped => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `$$` or `$tag$`; a parameter such as `$1` is none.
fn dollar_tag(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix('$')?;
    let end = inner.find('$')?;
    let tag = &inner[..end];
    let is_tag = tag.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !tag.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| &rest[..end + 2])
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("--") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let inner = rest.strip_prefix("/*")?;
    // One inside another ends early: what is left of the outer one shows its words, but hides its literals.
    Some(inner.find("*/").map_or(rest.len(), |end| end + 4))
}

fn cut(pattern: String) -> String {
    match pattern.char_indices().nth(PATTERN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &pattern[..end]),
        None => pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_in_a_key_are_stars() {
        for (key, pattern) in [
            ("user:17", "user:*"),
            ("rate:search:u42", "rate:search:u*"),
            ("session:6ba7b810-9dad-11d1-80b4-00c04fd430c8", "session:*"),
            ("abcdabcd-abcd-abcd-abcd-abcdabcdabcd", "*"),
            ("blob:deadbeefdeadbeef", "blob:*"),
            ("blob:0badcafe", "blob:*"),
            ("token:Xk9fQz81LmNoPqRs", "token:*"),
            ("cache:v2:items:1,2,3", "cache:v*:items:*,*,*"),
            ("faded:cafe", "faded:cafe"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(of_key(key.as_bytes()), pattern, "{key}");
        }
        assert_eq!(of_key("kv:gr\u{fc}n\u{0}\u{1}x".as_bytes()), "kv:gr*n*x");
    }

    #[test]
    fn literals_in_a_statement_are_stars_and_parameters_are_not() {
        for (sql, pattern) in [
            (
                "SELECT name FROM users WHERE id = $1",
                "SELECT name FROM users WHERE id = $1",
            ),
            (
                "SELECT *\n  FROM t2 WHERE a = 'it''s' AND b=-1.5e3",
                "SELECT * FROM t2 WHERE a = * AND b=-*",
            ),
            ("SELECT E'a\\'b', 'c\\'", "SELECT E*, *"),
            ("SELECT $$secret$$, $x$ 'a $x$", "SELECT *, *"),
            ("SELECT 1 -- secret 'x'\n+ /* secret */ 2", "SELECT * + *"),
            ("SELECT 'cut in the mid", "SELECT *"),
        ] {
            assert_eq!(of_statement(sql.as_bytes()), pattern, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn no_digit_survives_in_the_pattern_of_a_key(key in proptest::collection::vec(any::<u8>(), 0..60)) {
            let pattern = of_key(&key);
            prop_assert!(!pattern.contains(|c: char| c.is_ascii_digit()), "{pattern}");
            prop_assert!(pattern.chars().all(|c| (' '..='~').contains(&c)), "{pattern}");
        }

        #[test]
        fn a_string_in_a_statement_never_shows(
            value in "[a-z '\\\\$]{1,12}",
            dollar in any::<bool>(),
        ) {
            // Postgres itself would take the string to end there.
            prop_assume!(!(dollar && value.contains("$q$")));
            let secret = format!("SECRET{value}SECRET");
            let literal = if dollar { format!("$q${secret}$q$") } else { format!("'{}'", secret.replace('\'', "''")) };
            let pattern = of_statement(format!("SELECT a FROM b WHERE c = {literal} AND d = 'x'").as_bytes());
            prop_assert_eq!(pattern, "SELECT a FROM b WHERE c = * AND d = *");
        }

        #[test]
        fn any_bytes_have_a_pattern(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            of_statement(&bytes);
        }
    }
}
