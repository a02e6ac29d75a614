//! The operations that criteria need, one line each: its key in `[operations]`, the placeholders that its request may
//! use, and must use, and what it does.

use super::operation::OperationTemplate;
use serde::Deserialize;
use std::collections::BTreeMap;

macro_rules! operation_names {
    ($($variant:ident $key:literal [$($placeholder:literal)*] $meaning:literal)+) => {
        /// The operations that criteria need.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        pub enum OperationName {
            $(#[doc = $meaning] #[serde(rename = $key)] $variant,)+
        }

        impl OperationName {
            /// Every operation.
            pub const ALL: &'static [OperationName] = &[$(OperationName::$variant,)+];

            /// The key in `[operations]`.
            pub fn key(self) -> &'static str {
                match self { $(OperationName::$variant => $key,)+ }
            }

            /// The placeholders that its request may use, and must use.
            pub fn placeholders(self) -> &'static [&'static str] {
                match self { $(OperationName::$variant => &[$($placeholder,)*],)+ }
            }
        }
    };
}

operation_names! {
    KvSet "kv_set" ["key" "value"] "Sets a value without expiry."
    KvSetEx "kv_set_ex" ["key" "value" "seconds"] "Sets a value with an expiry."
    KvGet "kv_get" ["key"] "Reads a value. The result is the value."
    KvDelete "kv_delete" ["key"] "Deletes one key. The result is the number of deleted keys."
    KvDeleteTwo "kv_delete_two" ["key" "key2"] "Deletes two keys in one request. The result is the number of deleted keys."
    KvExists "kv_exists" ["key"] "Whether a key exists. The result is 1 or 0."
    KvExpire "kv_expire" ["key" "seconds"] "Sets a key's expiry. The result is 1 or 0."
    KvTtl "kv_ttl" ["key"] "A key's remaining seconds. The result is -2, -1 or the seconds."
    EntityCreate "entity_create" ["value"] "Creates an entity that lies in Postgres and is cached. The result is its id."
    EntityRead "entity_read" ["id"] "Reads it through the cache. The result is the value."
    EntityUpdate "entity_update" ["id" "value"] "Updates it."
    EntityInvalidate "entity_invalidate" ["id"] "Drops it from the cache."
    CacheInvalidate "cache_invalidate" ["pattern"] "Drops every entry that matches from the cache. The result is how many."
    Limited "limited" ["user" "endpoint"] "A rate-limited call."
    AccountCreate "account_create" ["user" "password"] "Makes an account that can log in."
    SessionCreate "session_create" ["user" "password" "device"] "Logs in. The answer sets the cookie."
    SessionRead "session_read" ["session"] "Who is logged in: `session` is the value of the cookie. The result is the user."
    SessionTouch "session_touch" ["session"] "Gives a session its whole TTL again."
    SessionEnd "session_end" ["session"] "Logs out: ends the session itself."
    SessionList "session_list" ["session"] "Lists the sessions of the session's user; see `[sessions.list]`."
    SessionRevoke "session_revoke" ["session" "id"] "Ends another session of the same user, by its id in the list."
    SessionRevokeAll "session_revoke_all" ["session"] "Ends every session of the same user, this one too."
    LimitedSliding "limited_sliding" ["user" "endpoint"] "A call limited by `[limiter.sliding]`."
    LimitedByAddress "limited_by_address" ["endpoint"] "A call limited by client address."
    LimitedBySession "limited_by_session" ["session" "endpoint"] "A call limited by session."
    PersonalWrite "personal_write" ["id" "value"] "Writes a person's data, which are cached encrypted."
    PersonalRead "personal_read" ["id"] "Reads them through the cache. The result is the value."
    PasswordResetIssue "password_reset_issue" ["user"] "Makes a code to set a new password. The result is the code."
    PasswordResetConsume "password_reset_consume" ["code"] "Uses it up."
    EmailVerificationIssue "email_verification_issue" ["user"] "Makes a code to prove an address. The result is the code."
    EmailVerificationConsume "email_verification_consume" ["code"] "Uses it up."
    OtpIssue "otp_issue" ["user"] "Makes a code to be typed in. The result is the code."
    OtpConsume "otp_consume" ["code"] "Uses it up."
    LockAcquire "lock_acquire" ["name"] "Takes a lock. The result is the fencing token."
    LockRelease "lock_release" ["name" "holder"] "Gives it back."
    GuardedWrite "guarded_write" ["name" "value" "fencing_token"] "Writes what the lock protects."
    GuardedRead "guarded_read" ["name"] "Reads it. The result is the value."
}

impl OperationName {
    /// Placeholders that its request may use beside those that it must.
    pub fn optional_placeholders(self) -> &'static [&'static str] {
        match self {
            OperationName::PersonalWrite | OperationName::PersonalRead => &["tenant"],
            OperationName::PasswordResetConsume
            | OperationName::EmailVerificationConsume
            | OperationName::OtpConsume => &["user"],
            OperationName::LockAcquire => &["ttl_ms"],
            _ => &[],
        }
    }
}

/// `[operations.NAME]`: requests, by operation.
pub type Operations = BTreeMap<OperationName, OperationTemplate>;
