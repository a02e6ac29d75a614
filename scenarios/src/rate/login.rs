//! RATE-8: passwords cannot be guessed: neither one account's from many addresses, nor from one address those of many
//! accounts.
//!
//! A login counts as looked at unless it is answered with the status of a limit. Whether a service counts every try or
//! only those that fail is its own business: what is demanded holds for both.

use super::client::admitted;
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::manifest::LoginSection;
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

/// What a run changes the limits to; the window is longer than the scenario.
const ACCOUNT_LIMIT: u64 = 3;
const ADDRESS_LIMIT: u64 = 6;
const WINDOW_MS: u64 = 600_000;
/// More than that are not tried, where nothing can be changed.
const LIMIT_MAX: u64 = 60;
/// How many guesses of one password run at the same time, beyond the limit.
const GUESSES: u64 = 17;
/// Long enough for any rule about passwords.
const RIGHT: &str = "correct horse 7 Battery staple";
const WRONG: &str = "wrong horse 8 Battery staple";

/// RATE-8.
pub(super) const GUESSES_LIMITED: Scenario = Scenario {
    criterion: Criterion {
        id: "RATE-8",
        statement: "Login attempts: limited per account and per address, whatever password comes next",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| guesses_limited(context).boxed(),
};

async fn guesses_limited(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::AccountCreate, OperationName::SessionCreate])?;
    let section = context.section("login", context.manifest().login.as_ref())?;
    let (account_limit, address_limit, env) = limits(section)?;
    let environment = context.stores().await?;
    context.step("start two instances");
    let instances = super::burst::two_instances(&environment, &env).await?;
    let logins = Logins {
        context,
        section,
        instances,
        account_limit,
        address_limit,
    };
    logins.per_account(&environment).await?;
    logins.per_address().await?;
    logins.own_account_does_not_help().await?;
    logins.side_by_side().await
}

/// The limits, and the environment for them.
fn limits(section: &LoginSection) -> Result<(u64, u64, BTreeMap<String, String>), Stop> {
    let value = |name: &str| match name {
        "account_limit" => Some(ACCOUNT_LIMIT.to_string()),
        "address_limit" => Some(ADDRESS_LIMIT.to_string()),
        "window_ms" => Some(WINDOW_MS.to_string()),
        _ => None,
    };
    let largest = section.account_limit.max(section.address_limit);
    let shorten = &section.shorten;
    if !shorten.is_empty() {
        let env = shorten
            .iter()
            .map(|(name, template)| (name.clone(), template.fill(value)));
        return Ok((ACCOUNT_LIMIT, ADDRESS_LIMIT, env.collect()));
    }
    if largest > LIMIT_MAX {
        return Err(Stop::Skip {
            reason: format!("a limit of {largest} logins cannot be shortened"),
            declared: false,
        });
    }
    Ok((
        section.account_limit,
        section.address_limit,
        BTreeMap::new(),
    ))
}

struct Logins<'a> {
    context: &'a Context,
    section: &'a LoginSection,
    instances: [Arc<Instance>; 2],
    account_limit: u64,
    address_limit: u64,
}

impl Logins<'_> {
    /// Each try from another address.
    async fn per_account(&self, environment: &Environment) -> Result<(), Stop> {
        let limit = self.account_limit;
        self.context.step(format!(
            "{limit} wrong passwords of one account, each from another address"
        ));
        self.make_accounts(&["ann", "bob"]).await?;
        for number in 1..=limit {
            let answer = self.login(&self.at(1, number), "ann", WRONG).await?;
            self.is_looked_at(
                &answer,
                &format!("guess {number} of {limit} at one account"),
            )?;
        }
        let elsewhere = self.at(1, limit + 1);
        let answer = self.login(&elsewhere, "ann", RIGHT).await?;
        let what = format!(
            "the right password after {limit} wrong ones, from another address: whoever guesses must not learn that it is"
        );
        self.is_limited(&answer, &what)?;
        let answer = self.login(&elsewhere, "bob", RIGHT).await?;
        self.is_in(&answer, "another account from that address")?;
        let Some(key) = &self.section.account_key else {
            return Ok(());
        };
        self.context
            .step("the window of that account ends (moved in the store)");
        let key = key.fill(|name| (name == "user").then(|| "ann".to_owned()));
        let store = StoreView::open(environment).await?;
        expect(
            store.exists(&key).await?,
            format!("`{key}` in the store, as `login.account_key` says"),
            "no such key",
        )?;
        store.expire_now(&key).await?;
        let answer = self.login(&elsewhere, "ann", RIGHT).await?;
        self.is_in(&answer, "the owner, in the next window")
    }

    /// Each try on another account, most of which do not exist.
    async fn per_address(&self) -> Result<(), Stop> {
        let limit = self.address_limit;
        self.context
            .step(format!("{limit} accounts tried from one address"));
        self.make_accounts(&["cyd", "dan"]).await?;
        let here = self.at(2, 1);
        for number in 1..=limit {
            let user = if number == 1 {
                "cyd".to_owned()
            } else {
                format!("nobody-{number}")
            };
            let answer = self.login(&here, &user, WRONG).await?;
            self.is_looked_at(
                &answer,
                &format!("try {number} of {limit} from one address"),
            )?;
        }
        let answer = self.login(&here, "dan", RIGHT).await?;
        self.is_limited(
            &answer,
            &format!("one more from the address that has tried {limit} accounts"),
        )?;
        let answer = self.login(&self.at(2, 2), "dan", RIGHT).await?;
        self.is_in(&answer, "the same account from another address")
    }

    /// Who has an account himself logs in to it in between.
    async fn own_account_does_not_help(&self) -> Result<(), Stop> {
        let limit = self.address_limit;
        self.context
            .step("accounts are tried from one address, with logins to an own one in between");
        self.make_accounts(&["eve"]).await?;
        let here = self.at(3, 1);
        let mut answer = None;
        for number in 1..=limit + 1 {
            let user = format!("victim-{number}");
            let tried = self.login(&here, &user, WRONG).await?;
            if self.limited(&tried) {
                return Ok(());
            }
            answer = Some(tried);
            if number % 2 == 0 {
                self.login(&here, "eve", RIGHT).await?;
            }
        }
        let seen = answer.map(|answer| answer.describe()).unwrap_or_default();
        let expected = format!(
            "no more than {limit} wrong passwords from one address looked at, whatever succeeds in between"
        );
        Err(Stop::fail(
            expected,
            format!("{} were; the last: {seen}", limit + 1),
        ))
    }

    /// All guesses at once, each from another address, through both instances.
    async fn side_by_side(&self) -> Result<(), Stop> {
        let (limit, all) = (self.account_limit, self.account_limit + GUESSES);
        self.context
            .step(format!("{all} guesses at one account at the same time"));
        self.make_accounts(&["fay"]).await?;
        let guess = async |number: u64| self.login(&self.at(4, number), "fay", WRONG).await;
        let answers = join_all((1..=all).map(guess)).await;
        let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
        let looked_at: Vec<_> = answers
            .iter()
            .filter(|answer| !self.limited(answer))
            .collect();
        let seen = format!(
            "{} were; one of them: {}",
            looked_at.len(),
            looked_at
                .first()
                .map(|answer| answer.describe())
                .unwrap_or_default()
        );
        expect(
            (1..=limit).contains(&(looked_at.len() as u64)),
            format!(
                "at most {limit} of {all} guesses at one account looked at, although they came at once"
            ),
            seen,
        )
    }

    async fn make_accounts(&self, users: &[&str]) -> Result<(), Stop> {
        for user in users {
            let values: &[(&str, &[u8])] =
                &[("user", user.as_bytes()), ("password", RIGHT.as_bytes())];
            let http = &self.instances[0].http;
            let answer = http.call(OperationName::AccountCreate, values).await?;
            expect(
                admitted(&answer) == Some(true),
                "an account to be made",
                answer.describe(),
            )?;
        }
        Ok(())
    }

    /// A client at 127.x.y.z; every second one through the second instance.
    fn at(&self, group: u8, number: u64) -> HttpClient {
        let last = u8::try_from(number % 250).unwrap_or_default() + 1;
        let address = IpAddr::V4(Ipv4Addr::new(127, 8, group, last));
        self.instances[(number % 2) as usize]
            .http
            .from_address(address)
    }

    async fn login(&self, http: &HttpClient, user: &str, password: &str) -> Result<Answer, Stop> {
        let values: &[(&str, &[u8])] = &[
            ("user", user.as_bytes()),
            ("password", password.as_bytes()),
            ("device", b"guess"),
        ];
        Ok(http.call(OperationName::SessionCreate, values).await?)
    }

    fn limited(&self, answer: &Answer) -> bool {
        answer.status == self.section.limited_status
    }

    fn is_limited(&self, answer: &Answer, what: &str) -> Result<(), Stop> {
        let status = self.section.limited_status;
        let told_when = answer
            .header("Retry-After")
            .and_then(|text| text.parse::<u64>().ok());
        expect(
            self.limited(answer) && told_when.is_some(),
            format!("{what}: {status} with Retry-After"),
            answer.describe(),
        )
    }

    /// Refused for its password, and not for a limit.
    fn is_looked_at(&self, answer: &Answer, what: &str) -> Result<(), Stop> {
        let refused = (400..500).contains(&answer.status) && !self.limited(answer);
        expect(
            refused,
            format!("{what} looked at and refused"),
            answer.describe(),
        )
    }

    fn is_in(&self, answer: &Answer, what: &str) -> Result<(), Stop> {
        expect(
            admitted(answer) == Some(true),
            format!("{what} let in"),
            answer.describe(),
        )
    }
}
