//! `[tokens]`: what a subject promises of its one-time codes.

use super::error::{ManifestError, Source};
use super::operation_name::OperationName;
use super::template::Template;
use serde::Deserialize;
use std::ops::RangeInclusive;

/// Wrong guesses until a code is void, at most.
const GUESSES_MAX: u32 = 5;

/// `[tokens]`: one-time codes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensSection {
    /// Wrong guesses that void a code.
    #[serde(default = "default_guesses")]
    pub guesses: u32,
    /// Codes to set a new password.
    pub password_reset: Option<CodeSection>,
    /// Codes to prove an address.
    pub email_verification: Option<CodeSection>,
    /// Codes to be typed in.
    pub otp: Option<CodeSection>,
}

/// `[tokens.KIND]`: one kind of code.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeSection {
    /// How long a code lives.
    pub ttl_seconds: u64,
    /// The Redis key whose expiry ends a user's code: `{user}`.
    pub key: Template,
}

fn default_guesses() -> u32 {
    GUESSES_MAX
}

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// To set a new password.
    PasswordReset,
    /// To prove an address.
    EmailVerification,
    /// To be typed in.
    Otp,
}

impl CodeKind {
    /// All of them.
    pub const ALL: [CodeKind; 3] = [
        CodeKind::PasswordReset,
        CodeKind::EmailVerification,
        CodeKind::Otp,
    ];

    /// The key in `[tokens]`.
    pub fn name(self) -> &'static str {
        match self {
            CodeKind::PasswordReset => "password_reset",
            CodeKind::EmailVerification => "email_verification",
            CodeKind::Otp => "otp",
        }
    }

    /// The operation that makes a code.
    pub fn issue(self) -> OperationName {
        match self {
            CodeKind::PasswordReset => OperationName::PasswordResetIssue,
            CodeKind::EmailVerification => OperationName::EmailVerificationIssue,
            CodeKind::Otp => OperationName::OtpIssue,
        }
    }

    /// The operation that uses one up.
    pub fn consume(self) -> OperationName {
        match self {
            CodeKind::PasswordReset => OperationName::PasswordResetConsume,
            CodeKind::EmailVerification => OperationName::EmailVerificationConsume,
            CodeKind::Otp => OperationName::OtpConsume,
        }
    }

    /// The lifetimes that the criterion allows.
    fn ttl_seconds(self) -> RangeInclusive<u64> {
        match self {
            CodeKind::PasswordReset | CodeKind::EmailVerification => 1..=600,
            CodeKind::Otp => 300..=600,
        }
    }
}

impl TokensSection {
    /// What is said of a kind.
    pub fn of(&self, kind: CodeKind) -> Option<&CodeSection> {
        match kind {
            CodeKind::PasswordReset => self.password_reset.as_ref(),
            CodeKind::EmailVerification => self.email_verification.as_ref(),
            CodeKind::Otp => self.otp.as_ref(),
        }
    }

    pub(super) fn validate(&self, source: &Source<'_>) -> Result<(), ManifestError> {
        if !(1..=GUESSES_MAX).contains(&self.guesses) {
            let problem = format!("expected 1 to {GUESSES_MAX}");
            return Err(source.error_at("tokens.guesses", problem));
        }
        for kind in CodeKind::ALL {
            let Some(code) = self.of(kind) else { continue };
            let (at, range) = (format!("tokens.{}", kind.name()), kind.ttl_seconds());
            if !range.contains(&code.ttl_seconds) {
                let problem = format!("expected {} to {}", range.start(), range.end());
                return Err(source.error_at(&format!("{at}.ttl_seconds"), problem));
            }
            if code.key.placeholders().collect::<Vec<_>>() != ["user"] {
                let problem = "expected {user} once, for instance `otp:{user}`";
                return Err(source.error_at(&format!("{at}.key"), problem));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use std::path::Path;

    fn load(tokens: &str) -> Result<Manifest, String> {
        let text = format!("[subject]\nname = \"x\"\ncommand = [\"true\"]\nport = 8080\n{tokens}");
        Manifest::parse(Path::new("m.toml"), &text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_code_that_lives_too_long_or_has_no_user_in_its_key_is_named() {
        let otp = |ttl: u64, key: &str| {
            load(&format!(
                "[tokens.otp]\nttl_seconds = {ttl}\nkey = \"{key}\"\n"
            ))
        };
        assert!(otp(300, "otp:{user}").is_ok());
        let long = otp(601, "otp:{user}").expect_err("too long");
        assert!(
            long.contains("tokens.otp.ttl_seconds") && long.contains("300 to 600"),
            "{long}"
        );
        let key = otp(300, "otp:{code}").expect_err("no user");
        assert!(key.contains("tokens.otp.key"), "{key}");
    }

    #[test]
    fn more_than_five_guesses_are_refused() {
        assert!(load("[tokens]\nguesses = 5\n").is_ok());
        let many = load("[tokens]\nguesses = 6\n").expect_err("too many");
        assert!(many.contains("tokens.guesses"), "{many}");
    }
}
