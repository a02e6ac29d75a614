//! Keeps secrets out of every artefact.

/// What stands in a text in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Replaces known secrets. It knows the very values (the harness made the passwords), so it needs
/// no guess about what a secret looks like.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Remembers a secret. Empty ones are ignored: replacing "" would garble every text.
    pub fn add(&mut self, secret: impl Into<String>) {
        let secret = secret.into();
        if !secret.is_empty() && !self.secrets.contains(&secret) {
            self.secrets.push(secret);
            // Longest first, so that a secret that contains another leaves no rest.
            self.secrets
                .sort_by_key(|known| std::cmp::Reverse(known.len()));
        }
    }

    /// Whether a text holds a secret.
    pub fn finds_secret_in(&self, text: &str) -> bool {
        self.secrets.iter().any(|secret| text.contains(secret))
    }

    /// The text without its secrets.
    pub fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret, REDACTED)
        })
    }
}

/// Words in a variable's name that say that its value is a secret.
const SECRET_WORDS: [&str; 11] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "PW",
    "SECRET",
    "TOKEN",
    "KEY",
    "APIKEY",
    "AUTH",
    "CREDENTIALS",
];
/// Last words that say that it is about the secret and not the secret itself.
const HARMLESS_ENDS: [&str; 10] = [
    "TTL", "MS", "SECONDS", "LENGTH", "LIMIT", "COUNT", "FILE", "PATH", "PREFIX", "URL",
];
/// A shorter secret is hidden where its name stands, but not searched for in other texts: replacing
/// every `1` would garble them.
const SEARCHED_CHARS_MIN: usize = 5;

/// The secret part of an environment variable's value: all of it if the name says so, the password if
/// it is a URL with one.
pub fn secret_in<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    let name = name.to_ascii_uppercase();
    let words: Vec<&str> = name.split(['_', '-', '.']).collect();
    let is_harmless = words
        .last()
        .is_some_and(|last| HARMLESS_ENDS.contains(last));
    let is_secret = words.iter().any(|word| SECRET_WORDS.contains(word));
    if value.is_empty() {
        None
    } else if is_secret && !is_harmless {
        Some(value)
    } else {
        let (_, rest) = value.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (user_and_password, _) = authority.rsplit_once('@')?;
        let (_, password) = user_and_password.split_once(':')?;
        (!password.is_empty()).then_some(password)
    }
}

/// An environment variable's value without its secret.
pub fn without_secret(name: &str, value: &str) -> String {
    match secret_in(name, value) {
        Some(secret) if secret == value => REDACTED.to_owned(),
        // With the colon and the `@` of a URL: the password may be a part of the host's name, too.
        Some(secret) => value.replacen(&format!(":{secret}@"), &format!(":{REDACTED}@"), 1),
        None => value.to_owned(),
    }
}

impl Redactor {
    /// Remembers the secret of an environment variable, if it has one.
    pub fn add_variable(&mut self, name: &str, value: &str) {
        if let Some(secret) =
            secret_in(name, value).filter(|secret| secret.chars().count() >= SEARCHED_CHARS_MIN)
        {
            self.add(secret);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_secret_by_its_name_or_by_a_password_in_its_url() {
        for (name, value, shown) in [
            ("JWT_SECRET", "abc", REDACTED),
            ("redis_password", "hunter2", REDACTED),
            ("SECRET_KEY_BASE", "0f", REDACTED),
            ("ACCESS_TOKEN_TTL", "60", "60"),
            ("TOKEN_FILE", "/run/token", "/run/token"),
            ("RATE_LIMIT", "5", "5"),
            ("BACKEND_DEFECT", "health-lies", "health-lies"),
            ("REDIS_PASSWORD", "", ""),
            ("REDIS_URL", "redis://host:6379/1", "redis://host:6379/1"),
            (
                "REDIS_URL",
                "redis://:s3@s3:6379",
                "redis://:[redacted]@s3:6379",
            ),
            (
                "DATABASE_URL",
                "postgres://u:p@h/d?a=b@c",
                "postgres://u:[redacted]@h/d?a=b@c",
            ),
        ] {
            assert_eq!(without_secret(name, value), shown, "{name}={value}");
        }
        let mut redactor = Redactor::default();
        redactor.add_variable("A_TOKEN", "1");
        redactor.add_variable("B_TOKEN", "hunter2");
        assert_eq!(redactor.redact("1 hunter2"), "1 [redacted]");
    }

    #[test]
    fn every_occurrence_of_every_secret_goes() {
        let mut redactor = Redactor::default();
        for secret in ["", "hunter2", "hunter2-long"] {
            redactor.add(secret);
        }
        let text = "a hunter2 b hunter2-long c";
        assert!(redactor.finds_secret_in(text));
        assert_eq!(redactor.redact(text), "a [redacted] b [redacted] c");
    }
}
