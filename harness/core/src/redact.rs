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

#[cfg(test)]
mod tests {
    use super::*;

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
