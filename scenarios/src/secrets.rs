//! The shapes in which a secret may lie somewhere: as it is, encoded, or hashed so that it can be tried out.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use md5::Md5;
use sha1_smol::Sha1;
use sha2::{Digest, Sha256, Sha512};

/// How it looks, and the bytes to search for.
pub(crate) type Shape = (&'static str, Vec<u8>);

/// The secret as it is and as common encodings show it.
pub(crate) fn forms(secret: &str) -> Vec<Shape> {
    let mut forms = vec![("in clear", secret.as_bytes().to_vec())];
    forms.extend(encoded(secret.as_bytes()));
    // `{:?}` of bytes, which many a log line is made with.
    let list: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    forms.push(("as a list of bytes", list.join(", ").into_bytes()));
    forms.push(("as a list of bytes", list.join(",").into_bytes()));
    // A secret that is itself an encoding of bytes; a short one could be that by chance.
    let decoded = URL_SAFE_NO_PAD.decode(secret).ok();
    if let Some(bytes) = decoded.filter(|bytes| bytes.len() >= 16) {
        forms.push(("decoded from base64", bytes));
    }
    if let Some(bytes) = from_hex(secret).filter(|bytes| bytes.len() >= 16) {
        forms.push(("decoded from hex", bytes));
    }
    forms
}

/// Hashes without a key, alone and with the user: of a secret that has few values they give it away.
pub(crate) fn hashes(secret: &str, user: &str) -> Vec<Shape> {
    let texts = [
        secret.to_owned(),
        format!("{secret}{user}"),
        format!("{user}{secret}"),
        format!("{secret}:{user}"),
        format!("{user}:{secret}"),
    ];
    let digests = texts.iter().flat_map(|text| {
        [
            Md5::digest(text).to_vec(),
            Sha1::from(text).digest().bytes().to_vec(),
            Sha256::digest(text).to_vec(),
            Sha512::digest(text).to_vec(),
        ]
    });
    digests
        .flat_map(|digest| {
            let shapes = encoded(&digest).into_iter().map(|(_, bytes)| bytes);
            shapes.chain([digest]).collect::<Vec<_>>()
        })
        .map(|bytes| ("hashed without a key", bytes))
        .collect()
}

fn encoded(bytes: &[u8]) -> Vec<Shape> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        ("in hex", hex.to_uppercase().into_bytes()),
        ("in hex", hex.into_bytes()),
        ("in base64", STANDARD_NO_PAD.encode(bytes).into_bytes()),
        ("in base64", URL_SAFE_NO_PAD.encode(bytes).into_bytes()),
    ]
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

/// Whether these bytes are a part of those.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && memchr::memmem::find(haystack, needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(haystack: &str, shapes: &[Shape]) -> bool {
        let found = |(_, bytes): &Shape| contains(haystack.as_bytes(), bytes);
        shapes.iter().any(found)
    }

    #[test]
    fn a_secret_is_found_in_every_common_shape() {
        let shapes = forms("canary7");
        for haystack in [
            "x canary7 y",
            "63616E61727937",
            "63616e61727937",
            "\"Y2FuYXJ5Nw==\"",
            "[99, 97, 110, 97, 114, 121, 55]",
        ] {
            assert!(is_found(haystack, &shapes), "{haystack}");
        }
        assert!(!is_found("canary", &shapes));
    }

    #[test]
    fn a_plain_hash_of_a_short_code_is_found_and_another_ones_is_not() {
        let sha256 = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
        assert!(is_found(sha256, &hashes("123456", "ann")));
        assert!(!is_found(sha256, &hashes("123457", "ann")));
    }

    #[test]
    fn what_an_encoded_secret_stands_for_is_searched_for_too() {
        let raw = [0xfe_u8; 16];
        let secret = URL_SAFE_NO_PAD.encode(raw);
        let found = |(_, bytes): &Shape| contains(&raw, bytes);
        assert!(forms(&secret).iter().any(found));
    }
}
