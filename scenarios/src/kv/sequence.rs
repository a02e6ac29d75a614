//! KV-8: sequences of calls against a map with expiry, as a scenario and as a property test.

use super::client::KvClient;
use crate::search::{config, search};
use futures::FutureExt;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use std::time::Duration;
use touchstone_core::model::kv::{CallTime, KvCall, KvModel, KvReply};
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::scenario::{Context, Scenario, Stop};
use touchstone_engine::subject::{Answer, OperationName};

/// Few keys, so that calls meet.
const KEYS: [&str; 2] = ["a", "b"];
/// Far away: time passes when the store is told so, never by itself.
const TTLS_S: std::ops::Range<u64> = 1_000..1_000_000;
const STEPS_MAX: usize = 20;
const CASES_USUAL: u32 = 60;

/// KV-8.
pub(super) const AGREES: Scenario = Scenario {
    criterion: Criterion {
        id: "KV-8",
        statement: "Any sequence of operations agrees with a model map with expiry (property test, shrunk on failure)",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| agrees(context).boxed(),
};

async fn agrees(context: &Context) -> Result<(), Stop> {
    let subject = KvSubject::open(context).await?;
    let config = config(context.seed(), CASES_USUAL);
    context.step(format!(
        "{} sequences of up to {STEPS_MAX} calls against the model",
        config.cases
    ));
    let carries_bytes = subject.carries_bytes();
    search(
        config,
        move || KvSubject::steps(carries_bytes),
        |steps| subject.run(steps),
    )
    .await
}

/// One step of a sequence.
#[derive(Debug, Clone)]
pub enum Step {
    /// A call to the service.
    Call(KvCall),
    /// The key's time comes, if it has one: its expiry is moved in the store.
    ExpireNow(String),
}

/// A service under comparison with the model.
#[derive(Debug, Clone)]
pub struct KvSubject {
    kv: KvClient,
}

impl KvSubject {
    /// Starts an environment with one instance.
    pub async fn open(context: &Context) -> Result<Self, Stop> {
        use OperationName::{KvDelete, KvExists, KvExpire, KvGet, KvSet, KvSetEx, KvTtl};
        let all = [KvSet, KvSetEx, KvGet, KvDelete, KvExists, KvExpire, KvTtl];
        let kv = KvClient::open(context, &all).await?;
        Ok(Self { kv })
    }

    /// Whether the service's values are arbitrary bytes; else they are text.
    pub fn carries_bytes(&self) -> bool {
        self.kv.carries_bytes()
    }

    /// Sequences of steps.
    pub fn steps(carries_bytes: bool) -> impl Strategy<Value = Vec<Step>> {
        let key = || prop_oneof![Just(KEYS[0].to_owned()), Just(KEYS[1].to_owned())];
        let value = if carries_bytes {
            vec(any::<u8>(), 0..16).boxed()
        } else {
            ".{0,8}".prop_map(String::into_bytes).boxed()
        };
        let ttl_s = prop_oneof![1 => Just(None), 1 => TTLS_S.prop_map(Some)];
        let set =
            (key(), value, ttl_s).prop_map(|(key, value, ttl_s)| KvCall::Set { key, value, ttl_s });
        let expire = (key(), TTLS_S).prop_map(|(key, ttl_s)| KvCall::Expire { key, ttl_s });
        let call = prop_oneof![
            4 => set,
            2 => key().prop_map(KvCall::Get),
            1 => key().prop_map(KvCall::Delete),
            1 => key().prop_map(KvCall::Exists),
            2 => expire,
            2 => key().prop_map(KvCall::Ttl),
        ];
        let step = prop_oneof![
            8 => call.prop_map(Step::Call),
            1 => key().prop_map(Step::ExpireNow),
        ];
        vec(step, 1..=STEPS_MAX)
    }

    /// Carries a sequence out, on keys that are not there, and compares each answer with the model's;
    /// at the end asks for the value and the TTL of every key.
    pub async fn run(&self, steps: Vec<Step>) -> Result<(), Stop> {
        for key in KEYS {
            self.kv.store.delete(&self.kv.stored_key(key)).await?;
        }
        let last_look = KEYS.iter().flat_map(|key| {
            let key = (*key).to_owned();
            [KvCall::Get(key.clone()), KvCall::Ttl(key)]
        });
        let mut model = KvModel::default();
        let mut trace = Vec::new();
        for step in steps.into_iter().chain(last_look.map(Step::Call)) {
            match step {
                Step::ExpireNow(key) if model.has_expiry(&key) => {
                    self.kv.store.expire_now(&self.kv.stored_key(&key)).await?;
                    model.expire_now(&key);
                    trace.push(format!("the time of `{key}` comes (moved in the store)"));
                }
                Step::ExpireNow(_) => {}
                Step::Call(call) => self.compare(&mut model, &call, &mut trace).await?,
            }
        }
        Ok(())
    }

    async fn compare(
        &self,
        model: &mut KvModel,
        call: &KvCall,
        trace: &mut Vec<String>,
    ) -> Result<(), Stop> {
        let asked = self.ask(call).await;
        let (reply, answer) = asked.map_err(|stop| with_trace(stop, trace, call))?;
        let time = CallTime {
            called_us: answer.called_us,
            returned_us: answer.returned_us,
        };
        match model.apply(call, time, &reply) {
            Ok(()) => {
                trace.push(format!("{} -> {}", told_call(call), told_reply(&reply)));
                Ok(())
            }
            Err(expected) => {
                let finding = Finding::new(
                    format!(
                        "{expected} from {}, the last of these calls",
                        told_call(call)
                    ),
                    told_reply(&reply),
                );
                Err(with_trace(Stop::Fail(finding), trace, call))
            }
        }
    }

    async fn ask(&self, call: &KvCall) -> Result<(KvReply, Answer), Stop> {
        let kv = &self.kv;
        let number = |(number, answer)| (KvReply::Number(number), answer);
        Ok(match call {
            KvCall::Set {
                key,
                value,
                ttl_s: None,
            } => (KvReply::Done, kv.set(key, value).await?),
            KvCall::Set {
                key,
                value,
                ttl_s: Some(ttl_s),
            } => (KvReply::Done, kv.set_ex(key, value, *ttl_s).await?),
            KvCall::Get(key) => {
                let (value, answer) = kv.get(key).await?;
                (KvReply::Value(value), answer)
            }
            KvCall::Delete(key) => number(kv.number(OperationName::KvDelete, key).await?),
            KvCall::Exists(key) => number(kv.number(OperationName::KvExists, key).await?),
            KvCall::Expire { key, ttl_s } => number(kv.expire(key, *ttl_s).await?),
            KvCall::Ttl(key) => number(kv.number(OperationName::KvTtl, key).await?),
        })
    }
}

/// The whole sequence so far as evidence, numbered.
fn with_trace(stop: Stop, trace: &[String], last: &KvCall) -> Stop {
    let Stop::Fail(mut finding) = stop else {
        return stop;
    };
    for (number, line) in (1..).zip(trace) {
        finding.evidence.push(format!("{number}. {line}"));
    }
    finding
        .evidence
        .push(format!("{}. {}", trace.len() + 1, told_call(last)));
    Stop::Fail(finding)
}

fn told_call(call: &KvCall) -> String {
    match call {
        KvCall::Set { key, value, ttl_s } => {
            let ttl = ttl_s.map_or(String::new(), |ttl_s| format!(" with a TTL of {ttl_s} s"));
            format!("set {key} = \"{}\"{ttl}", value.escape_ascii())
        }
        KvCall::Get(key) => format!("get {key}"),
        KvCall::Delete(key) => format!("delete {key}"),
        KvCall::Exists(key) => format!("exists {key}"),
        KvCall::Expire { key, ttl_s } => format!("expire {key} in {ttl_s} s"),
        KvCall::Ttl(key) => format!("ttl {key}"),
    }
}

fn told_reply(reply: &KvReply) -> String {
    match reply {
        KvReply::Value(Some(value)) => format!("\"{}\"", value.escape_ascii()),
        KvReply::Value(None) => "no value".to_owned(),
        KvReply::Number(number) => number.to_string(),
        KvReply::Done => "done".to_owned(),
    }
}
