//! RATE-2: nobody uses up what is somebody else's: not another user, not another endpoint, not another address; and
//! nobody is somebody else by saying so.

use super::client::{Caller, Limiter, Promise, admitted, filled, limiters, shortened};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::manifest::AddressLimitSection;
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

/// What a run shortens a limit to; the window is longer than the scenario.
const SHORT: Promise = Promise {
    limit: 3,
    window_ms: 600_000,
};
/// A limit of more is not used up.
const LIMIT_MAX: u64 = 500;
/// The third and fourth differ, unless somebody puts them together with nothing between.
const PAIRS: [Caller<'static>; 5] = [
    pair("ann", "one"),
    pair("ann", "two"),
    pair("cd", "ab"),
    pair("bcd", "a"),
    pair("bob", "one"),
];
/// Anybody's machine, and the one that a manifest may declare as a proxy. Every 127.x.y.z is this machine's.
const ANN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const BOB: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

/// RATE-2.
pub(super) const NOT_SHARED: Scenario = Scenario {
    criterion: Criterion {
        id: "RATE-2",
        statement: "Users, endpoints and addresses do not share counters; an address is that of the connection, or what a declared proxy says",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| not_shared(context).boxed(),
};

const fn pair(user: &'static str, endpoint: &'static str) -> Caller<'static> {
    Caller { user, endpoint }
}

async fn not_shared(context: &Context) -> Result<(), Stop> {
    let limiters = limiters(context)?;
    let environment = context.stores().await?;
    for limiter in &limiters {
        by_user_and_endpoint(context, &environment, limiter).await?;
    }
    let section = context.section("limiter", context.manifest().limiter.as_ref())?;
    let Some(address) = &section.address else {
        context.observe("the manifest has no [limiter.address]");
        return Ok(());
    };
    context.require(&[OperationName::LimitedByAddress])?;
    by_address(context, &environment, address).await
}

async fn by_user_and_endpoint(
    context: &Context,
    environment: &Environment,
    limiter: &Limiter<'_>,
) -> Result<(), Stop> {
    let (limit, env) = small(limiter.section.limit, shortened(limiter.section, SHORT))?;
    context.step(format!(
        "{limiter}: each of {} users and endpoints uses up its {limit}, one after the other",
        PAIRS.len()
    ));
    let instance = environment.start_instance(&env).await?;
    for caller in PAIRS {
        let Caller { user, endpoint } = caller;
        let who = format!("`{user}` at `{endpoint}`");
        for number in 1..=limit {
            let answer = limiter.request(&instance.http, caller).await?;
            let expected =
                format!("request {number} of {who} admitted, whoever else has used up his {limit}");
            expect(admitted(&answer) == Some(true), expected, answer.describe())?;
        }
        let answer = limiter.request(&instance.http, caller).await?;
        let expected = format!("one more of {who} refused");
        expect(
            admitted(&answer) == Some(false),
            expected,
            answer.describe(),
        )?;
    }
    Ok(())
}

/// The declared limit, or a small one with the environment for it.
fn small(
    declared: u64,
    env: Option<BTreeMap<String, String>>,
) -> Result<(u64, BTreeMap<String, String>), Stop> {
    match env {
        Some(env) => Ok((SHORT.limit, env)),
        None if declared <= LIMIT_MAX => Ok((declared, BTreeMap::new())),
        None => Err(Stop::Skip {
            reason: format!("a limit of {declared} cannot be shortened"),
            declared: false,
        }),
    }
}

async fn by_address(
    context: &Context,
    environment: &Environment,
    section: &AddressLimitSection,
) -> Result<(), Stop> {
    let (limit, env) = small(section.limit, filled(&section.shorten, SHORT))?;
    context.step("by address: start an instance that is told of no proxy");
    let addresses = Addresses {
        context,
        instance: environment.start_instance(&env).await?,
        header: section
            .forwarded_header
            .as_deref()
            .unwrap_or("X-Forwarded-For"),
        limit,
    };
    addresses.of_connections().await?;
    let trust = section.trust.iter().map(|(name, template)| {
        let value = |placeholder: &str| (placeholder == "proxy").then(|| PROXY.to_string());
        (name.clone(), template.fill(value))
    });
    let env: BTreeMap<_, _> = env.into_iter().chain(trust).collect();
    if section.trust.is_empty() {
        context.observe("the manifest declares no way to trust a proxy");
        return Ok(());
    }
    context.step(format!(
        "by address: start another, which is told to trust {PROXY}"
    ));
    let instance = environment.start_instance(&env).await?;
    // Counters lie in the store: other endpoints for the same addresses.
    Addresses {
        instance,
        ..addresses
    }
    .of_forwarded()
    .await
}

/// Requests from several addresses of this machine.
struct Addresses<'a> {
    context: &'a Context,
    instance: Arc<Instance>,
    header: &'a str,
    limit: u64,
}

impl Addresses<'_> {
    /// With no proxy declared, the connection says who it is, and the header nothing.
    async fn of_connections(&self) -> Result<(), Stop> {
        let (ann, bob) = (self.from(ANN), self.from(BOB));
        self.context.step(format!(
            "{ANN} uses up its {}; {BOB} does not notice",
            self.limit
        ));
        self.uses_up(&ann, "plain", None, &ANN.to_string()).await?;
        self.uses_up(&bob, "plain", None, &BOB.to_string()).await?;
        self.context
            .step(format!("{ANN} gives itself other names, and {BOB}'s"));
        self.uses_up(&ann, "named", None, &ANN.to_string()).await?;
        for name in ["203.0.113.9".to_owned(), BOB.to_string()] {
            let answer = self.ask(&ann, "named", Some(&name)).await?;
            let expected = format!(
                "{ANN}, which has used up its {}, refused with `{}: {name}`, too: nobody said to believe it",
                self.limit, self.header
            );
            expect(
                admitted(&answer) == Some(false),
                expected,
                answer.describe(),
            )?;
        }
        self.uses_up(&bob, "named", None, &BOB.to_string()).await
    }

    /// A declared proxy is believed about the last hop, and nobody else about anything.
    async fn of_forwarded(&self) -> Result<(), Stop> {
        let (ann, proxy) = (self.from(ANN), self.from(PROXY));
        let (one, two) = ("203.0.113.1", "203.0.113.2");
        self.context.step(format!("two clients behind {PROXY}"));
        self.uses_up(&proxy, "proxied", Some(one), one).await?;
        self.uses_up(&proxy, "proxied", Some(two), two).await?;
        self.context
            .step("a client behind it writes hops of its own");
        let made_up = format!("198.51.100.7, {one}");
        let answer = self.ask(&proxy, "proxied", Some(&made_up)).await?;
        let expected = format!(
            "`{}: {made_up}` from {PROXY} counted as {one}, which has used up its {}: the hop before is its own invention",
            self.header, self.limit
        );
        expect(
            admitted(&answer) == Some(false),
            expected,
            answer.describe(),
        )?;
        self.context
            .step(format!("{ANN}, which is no proxy, says that it is one"));
        self.uses_up(&ann, "claimed", Some("203.0.113.3"), &ANN.to_string())
            .await?;
        let answer = self.ask(&ann, "claimed", Some("203.0.113.4")).await?;
        let expected = format!("{ANN} refused whatever it says: only {PROXY} is believed");
        expect(
            admitted(&answer) == Some(false),
            expected,
            answer.describe(),
        )
    }

    fn from(&self, address: IpAddr) -> HttpClient {
        self.instance.http.from_address(address)
    }

    /// As many as the limit are admitted, and then no more.
    async fn uses_up(
        &self,
        http: &HttpClient,
        endpoint: &str,
        forwarded: Option<&str>,
        who: &str,
    ) -> Result<(), Stop> {
        for number in 1..=self.limit {
            let answer = self.ask(http, endpoint, forwarded).await?;
            let expected = format!(
                "request {number} of {who} admitted (limit {} an address)",
                self.limit
            );
            expect(admitted(&answer) == Some(true), expected, answer.describe())?;
        }
        let answer = self.ask(http, endpoint, forwarded).await?;
        let expected = format!(
            "one more of {who} refused (limit {} an address)",
            self.limit
        );
        expect(
            admitted(&answer) == Some(false),
            expected,
            answer.describe(),
        )
    }

    async fn ask(
        &self,
        http: &HttpClient,
        endpoint: &str,
        forwarded: Option<&str>,
    ) -> Result<Answer, Stop> {
        let header: Vec<(&str, &str)> = forwarded
            .map(|hops| (self.header, hops))
            .into_iter()
            .collect();
        let values: &[(&str, &[u8])] = &[("endpoint", endpoint.as_bytes())];
        let answer = http
            .call_with(OperationName::LimitedByAddress, values, &header)
            .await?;
        Ok(answer)
    }
}
