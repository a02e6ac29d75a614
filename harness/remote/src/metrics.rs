//! Metrics in the text format of Prometheus. What Toxiproxy has is called as there; the rest is ours.

use crate::error::ApiError;
use crate::proxies::Proxies;
use crate::proxy::RemoteProxy;
use std::fmt::Write;
use touchstone_engine::proxy::NetworkFault;

/// One family: its help and type, and the samples of all proxies together, as the format wants it.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: String,
}

const FAMILIES: [(&str, &str, &str); 9] = [
    (RECEIVED, "counter", "Bytes read in a direction."),
    (
        ACCEPTED,
        "counter",
        "Connections accepted, whatever became of them.",
    ),
    (OPEN, "gauge", "Connections that are open."),
    (CUT, "counter", "Connections ended by a fault."),
    (
        UPSTREAM_REFUSED,
        "counter",
        "Connections reset because the upstream refused.",
    ),
    (
        COMMANDS,
        "counter",
        "Commands by name, where the protocol is decoded.",
    ),
    (
        ERRORS,
        "counter",
        "Commands that the server refused, by name.",
    ),
    (IN_FORCE, "gauge", "Faults in force."),
    (
        BITTEN,
        "gauge",
        "Whether a fault in force has been seen to bite.",
    ),
];

const RECEIVED: &str = "toxiproxy_proxy_received_bytes_total";
const ACCEPTED: &str = "touchstone_proxy_connections_total";
const OPEN: &str = "touchstone_proxy_connections_open";
const CUT: &str = "touchstone_proxy_connections_cut_total";
const UPSTREAM_REFUSED: &str = "touchstone_proxy_upstream_refused_total";
const COMMANDS: &str = "touchstone_proxy_commands_total";
const ERRORS: &str = "touchstone_proxy_command_errors_total";
const IN_FORCE: &str = "touchstone_fault_in_force";
const BITTEN: &str = "touchstone_fault_has_bitten";

struct Families(Vec<Family>);

impl Families {
    fn new() -> Self {
        let family = |(name, kind, help)| Family {
            name,
            kind,
            help,
            samples: String::new(),
        };
        Self(FAMILIES.map(family).into())
    }

    fn add(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        if let Some(family) = self.0.iter_mut().find(|family| family.name == name) {
            // Writing into a string cannot fail.
            let _ = writeln!(family.samples, "{name}{{{}}} {value}", labels.join(","));
        }
    }

    fn text(&self) -> String {
        let filled = self.0.iter().filter(|family| !family.samples.is_empty());
        let told = |Family {
                        name,
                        kind,
                        help,
                        samples,
                    }: &Family| {
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}")
        };
        filled.map(told).collect()
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// All metrics of all proxies.
pub(crate) async fn text(proxies: &Proxies) -> Result<String, ApiError> {
    let mut families = Families::new();
    for proxy in proxies.by_name.values() {
        add_traffic(&mut families, proxy).await?;
        add_commands(&mut families, proxy).await?;
        for held in proxy.toxics() {
            add_fault(&mut families, proxy, &held.toxic.name, &held.guard);
        }
        for rule in &proxy.rules {
            let name = format!("rule {}", rule.id);
            add_fault(&mut families, proxy, &name, &rule.guard);
        }
    }
    Ok(families.text())
}

async fn add_traffic(families: &mut Families, proxy: &RemoteProxy) -> Result<(), ApiError> {
    let counters = proxy.proxy.counters().await?;
    let view = proxy.view();
    let name = ("proxy", proxy.name.as_str());
    for (direction, bytes) in [
        ("upstream", counters.bytes_up),
        ("downstream", counters.bytes_down),
    ] {
        let labels = [
            ("direction", direction),
            ("listener", &view.listen),
            name,
            ("upstream", &view.upstream),
        ];
        families.add(RECEIVED, &labels, bytes);
    }
    let open = proxy.proxy.open_connections().await?;
    families.add(ACCEPTED, &[name], counters.accepted);
    families.add(OPEN, &[name], open);
    families.add(CUT, &[name], counters.cut);
    families.add(UPSTREAM_REFUSED, &[name], counters.upstream_refused);
    Ok(())
}

async fn add_commands(families: &mut Families, proxy: &RemoteProxy) -> Result<(), ApiError> {
    for tally in proxy.proxy.heard().await?.names {
        let labels = [("proxy", proxy.name.as_str()), ("command", &*tally.name)];
        families.add(COMMANDS, &labels, tally.count);
        families.add(ERRORS, &labels, tally.errors);
    }
    Ok(())
}

fn add_fault(families: &mut Families, proxy: &RemoteProxy, name: &str, fault: &NetworkFault) {
    let labels = [
        ("proxy", proxy.name.as_str()),
        ("fault", fault.name()),
        ("name", name),
    ];
    families.add(IN_FORCE, &labels, 1);
    families.add(BITTEN, &labels, u64::from(fault.bite().is_some()));
}
