//! The subject's figures, scraped, beside what the tap saw in the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use touchstone_core::exposition::{Exposition, HistogramSeen};
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::CommandRecord;
use touchstone_engine::scenario::{Context, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::{Figure, MetricsSection};

/// Commands without a key (PING, INFO, HELLO) come by themselves, and may be under way while we scrape: on
/// either side so many may be counted that we did not see in between, or the other way round.
const OF_ITS_OWN_ACCORD: f64 = 2.0;

/// One scrape, and when it was.
#[derive(Debug, Clone)]
pub(crate) struct Scrape {
    pub(crate) read: Exposition,
    called_us: u64,
    returned_us: u64,
}

/// What was counted between two scrapes, and what was sent meanwhile.
#[derive(Debug)]
pub(crate) struct Between {
    pub(crate) from: Scrape,
    pub(crate) to: Scrape,
    /// Every command that the tap saw from the first scrape's beginning to the second one's end.
    pub(crate) commands: Vec<CommandRecord>,
}

/// Scrapes one instance.
#[derive(Debug)]
pub(crate) struct Figures<'a> {
    context: &'a Context,
    instance: Arc<Instance>,
    section: &'a MetricsSection,
    last: Mutex<Option<Scrape>>,
}

/// How often a command was sent, by its name.
#[derive(Debug, Default, Clone, Copy)]
struct Sent {
    surely: f64,
    at_the_edges: f64,
    has_keys: bool,
}

impl<'a> Figures<'a> {
    /// Skips without the manifest's `metrics`.
    pub(crate) fn of(context: &'a Context, instance: &Arc<Instance>) -> Result<Self, Stop> {
        let section = context.section("metrics", context.manifest().metrics.as_ref())?;
        Ok(Self {
            context,
            instance: Arc::clone(instance),
            section,
            last: Mutex::default(),
        })
    }

    /// Reads them now. Whatever counts must not have fallen since the last time.
    pub(crate) async fn scrape(&self) -> Result<Scrape, Stop> {
        let deadline = self.context.deadline(|d| d.degraded_answer_ms);
        let http = self.instance.http.with_deadline(deadline);
        let answer = http.get(&self.section.path).await?;
        expect(
            answer.status == 200,
            format!("metrics at `{}`", self.section.path),
            answer.describe(),
        )?;
        let text = String::from_utf8_lossy(&answer.body);
        let read = Exposition::parse(&text)
            .map_err(|error| Stop::fail("metrics as Prometheus reads them", error.to_string()))?;
        let crooked = read.crooked_histograms();
        expect(
            crooked.is_empty(),
            "histograms whose buckets never fall and end with their count",
            crooked.join("; "),
        )?;
        let scrape = Scrape {
            read,
            called_us: answer.called_us,
            returned_us: answer.returned_us,
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last {
            let fallen = scrape.read.fallen_since(&last.read);
            expect(
                fallen.is_empty(),
                "counters that only rise while the process lives",
                fallen.join("; "),
            )?;
        }
        *last = Some(scrape.clone());
        Ok(scrape)
    }

    /// Where the tap stands: for [`Figures::until_now`].
    pub(crate) async fn begin(&self) -> Result<(Scrape, u64), Stop> {
        let mark = self.instance.proxy(StoreKind::Redis).trace_mark().await?;
        Ok((self.scrape().await?, mark))
    }

    /// Scrapes again.
    pub(crate) async fn until_now(&self, (from, mark): (Scrape, u64)) -> Result<Between, Stop> {
        let to = self.scrape().await?;
        let proxy = self.instance.proxy(StoreKind::Redis);
        let trace = proxy.trace(mark).await?;
        if let Some((connection, why)) = proxy.undecoded().await?.first() {
            let reason = format!("connection {connection} to Redis is not decoded: {why:?}");
            return Err(Stop::unknown(reason));
        }
        if trace.dropped > 0 {
            let reason = format!("{} commands came too fast to be kept", trace.dropped);
            return Err(Stop::unknown(reason));
        }
        Ok(Between {
            from,
            to,
            commands: trace.commands,
        })
    }

    /// A gauge, which must be there.
    pub(crate) fn gauge(&self, scrape: &Scrape, figure: &Figure) -> Result<f64, Stop> {
        let value = scrape.read.sum(&figure.0);
        value.ok_or_else(|| Stop::fail(format!("a metric `{}`", figure.0), "none"))
    }

    /// Every command by name is counted as often as the tap saw it, whatever became of it.
    pub(crate) fn commands_agree(&self, between: &Between) -> Result<(), Stop> {
        let counted = self.commands(between);
        let sent = self.sent(between);
        let names = counted.keys().chain(sent.keys());
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let counted = counted.get(name).map_or(0.0, |seen| seen.count);
            let sent = sent.get(name).copied().unwrap_or_default();
            let slack = if sent.has_keys {
                0.0
            } else {
                OF_ITS_OWN_ACCORD
            };
            let (least, most) = (sent.surely - slack, sent.surely + sent.at_the_edges + slack);
            expect(
                (least..=most).contains(&counted),
                format!(
                    "`{name}` counted {} times, as often as the tap saw it{}",
                    sent.surely,
                    if sent.has_keys { "" } else { " or nearly" }
                ),
                format!("{counted} times"),
            )?;
        }
        Ok(())
    }

    /// What the histogram has gained, by the name of the command in capitals, without a subcommand.
    pub(crate) fn commands(&self, between: &Between) -> BTreeMap<String, HistogramSeen> {
        let section = &self.section.commands;
        let by_name = |scrape: &Scrape| {
            let mut by_name: BTreeMap<String, HistogramSeen> = BTreeMap::new();
            for (label, seen) in scrape.read.histograms(&section.histogram, &section.label) {
                let base = label.split([' ', '|']).next().unwrap_or(&label);
                let all = by_name.entry(base.to_uppercase()).or_insert(HistogramSeen {
                    count: 0.0,
                    sum: 0.0,
                });
                all.count += seen.count;
                all.sum += seen.sum;
            }
            by_name
        };
        let before = by_name(&between.from);
        let mut gained = by_name(&between.to);
        for (name, seen) in &mut gained {
            if let Some(before) = before.get(name) {
                seen.count -= before.count;
                seen.sum -= before.sum;
            }
            seen.sum *= section.unit_seconds;
        }
        gained.retain(|_, seen| seen.count != 0.0);
        gained
    }

    fn sent(&self, between: &Between) -> BTreeMap<String, Sent> {
        let clock = self.context.clock();
        let mut by_name: BTreeMap<String, Sent> = BTreeMap::new();
        for command in &between.commands {
            let base = command.name.split(' ').next().unwrap_or(&command.name);
            let sent = by_name.entry(base.to_owned()).or_default();
            let at_us = clock.at_us(command.seen_at);
            let inside = at_us > between.from.returned_us && at_us < between.to.called_us;
            sent.surely += f64::from(u8::from(inside));
            sent.at_the_edges += f64::from(u8::from(!inside));
            sent.has_keys |= !command.keys.is_empty();
        }
        by_name
    }
}

impl Between {
    /// By how much a counter has risen. One that is not there yet stands at nought.
    pub(crate) fn risen(&self, figure: &Figure) -> f64 {
        let at = |scrape: &Scrape| scrape.read.sum(&figure.0).unwrap_or(0.0);
        at(&self.to) - at(&self.from)
    }
}
