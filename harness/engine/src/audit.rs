//! Gathers what the proxies of an environment saw, for [`touchstone_core::audit`] to make sense of.

use crate::clock::Clock;
use crate::environment::Environment;
use crate::instance::Wiring;
use crate::proxy::{CommandRecord, Heard, ProxyError};
use crate::store::{ServerState, StoreError, StoreKind};
use std::collections::BTreeMap;
use std::time::Duration;
use touchstone_core::audit::pattern::of_key;
use touchstone_core::audit::{Answer, Expiry, FINDINGS_MAX, Identity, Seen, Sent, StoreName};
use touchstone_core::record::{AuditRecord, CommandCount};
use touchstone_wire::{ClientNote, Lost, ReplyKind};

/// How long the look into Redis may take: an audit holds no run up.
const LOOK_DEADLINE: Duration = Duration::from_millis(500);

/// Keys that are looked at then.
const KEYS_LOOKED_AT: usize = 10_000;
const KEYS_PER_STEP: usize = 500;

impl Environment {
    /// What the subject has sent so far, and which keys it leaves.
    ///
    /// # Errors
    /// A proxy is gone. A store that is gone is none.
    pub async fn audit(&self) -> Result<AuditRecord, ProxyError> {
        let mut all = Vec::new();
        for wiring in self.wirings() {
            let mut seen = Seen::default();
            for store in StoreKind::ALL {
                let heard = wiring.proxy(store).heard().await?;
                take(&mut seen, store, heard, self.clock());
            }
            seen.spans = self.spans(&wiring);
            all.push(seen);
        }
        let policy = self.manifest().audit.policy();
        let mut record = touchstone_core::audit::audit(all, &policy);
        record.left_without_expiry = self.left_without_expiry().await;
        Ok(record)
    }

    fn spans(&self, wiring: &Wiring) -> Vec<touchstone_core::audit::Span> {
        let instances = self.instances().into_iter();
        let there = instances.filter(|instance| instance.wiring.index == wiring.index);
        there
            .flat_map(|instance| instance.http.requests().spans())
            .collect()
    }

    async fn left_without_expiry(&self) -> Option<BTreeMap<String, u64>> {
        let look = async {
            if self.store(StoreKind::Redis).state().await.ok()? != ServerState::Running {
                return None;
            }
            self.look().await.ok()
        };
        tokio::time::timeout(LOOK_DEADLINE, look).await.ok()?
    }

    async fn look(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let database = self.manifest().stores.redis_database;
        let mut redis = self.store(StoreKind::Redis).redis(database).await?;
        let mut patterns: BTreeMap<String, u64> = BTreeMap::new();
        let (mut cursor, mut looked_at) = (0_u64, 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("COUNT").arg(KEYS_PER_STEP);
            let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut redis).await?;
            let mut ask = redis::pipe();
            for key in &keys {
                ask.cmd("PTTL").arg(key);
            }
            let left: Vec<i64> = match keys.is_empty() {
                true => Vec::new(),
                false => ask.query_async(&mut redis).await?,
            };
            for (key, _) in keys.iter().zip(left).filter(|(_, left_ms)| *left_ms == -1) {
                *patterns.entry(of_key(key)).or_default() += 1;
            }
            cursor = next;
            looked_at += keys.len();
            if cursor == 0 || looked_at >= KEYS_LOOKED_AT {
                break;
            }
        }
        Ok(patterns.into_iter().take(FINDINGS_MAX).collect())
    }
}

fn take(seen: &mut Seen, kind: StoreKind, heard: Heard, clock: Clock) {
    let store = name_of(kind);
    let counts = heard.names.iter().map(|tally| CommandCount {
        store,
        name: tally.name.clone(),
        count: tally.count,
        errors: tally.errors,
        unanswered: tally.count - tally.answered,
        sent_bytes: tally.sent_bytes,
        received_bytes: tally.received_bytes,
        slowest_us: tally.slowest.map(micros),
    });
    seen.counts.extend(counts);
    seen.dropped += heard.trace.dropped;
    let commands = heard.trace.commands.into_iter();
    seen.commands
        .extend(commands.map(|record| sent(store, record, clock)));
    seen.clients.extend(identities(heard.clients));
    let undecoded = heard.undecoded.iter();
    seen.undecoded
        .extend(undecoded.map(|(_, why)| (store, reason(*why).to_owned())));
}

fn name_of(kind: StoreKind) -> StoreName {
    match kind {
        StoreKind::Redis => StoreName::Redis,
        StoreKind::Postgres => StoreName::Postgres,
    }
}

fn sent(store: StoreName, record: CommandRecord, clock: Clock) -> Sent {
    let answer = record.reply.map(|reply| {
        let answer = match reply.kind {
            ReplyKind::Error(_) => Answer::Error,
            ReplyKind::Nil => Answer::Nil,
            ReplyKind::Integer(number) => Answer::Integer(number),
            ReplyKind::Aggregate(_) => Answer::Aggregate,
            ReplyKind::Simple | ReplyKind::Bulk(_) | ReplyKind::Rows(_) | ReplyKind::Done => {
                Answer::Other
            }
        };
        (clock.at_us(reply.ended_at), answer)
    });
    Sent {
        store,
        connection: record.connection,
        at_us: clock.at_us(record.seen_at),
        name: record.name,
        keys: record.keys,
        expiry: record.expiry.map(|expiry| match expiry {
            touchstone_wire::Expiry::WithValue => Expiry::WithValue,
            touchstone_wire::Expiry::Alone => Expiry::Alone,
            touchstone_wire::Expiry::Kept => Expiry::Kept,
            touchstone_wire::Expiry::Removed => Expiry::Removed,
        }),
        in_transaction: record.in_transaction,
        answer,
    }
}

/// What was said on each connection; the last word of a kind holds.
fn identities(notes: Vec<(u64, ClientNote)>) -> Vec<Identity> {
    let mut connections: BTreeMap<u64, Identity> = BTreeMap::new();
    for (connection, note) in notes {
        let identity = connections.entry(connection).or_default();
        match note {
            ClientNote::Name(text) => identity.name = Some(text.into()),
            ClientNote::Library(text) => identity.library = Some(text.into()),
            ClientNote::LibraryVersion(text) => identity.version = Some(text.into()),
        }
    }
    connections.into_values().collect()
}

fn reason(why: Lost) -> &'static str {
    match why {
        Lost::Encrypted => "encrypted",
        Lost::NotTheProtocol => "bytes that the protocol does not know",
        Lost::UnaskedReply => "a reply that no command had asked for",
        Lost::TooManyPending => "more commands without a reply than are kept track of",
        Lost::OtherStream => "a stream of another kind",
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
