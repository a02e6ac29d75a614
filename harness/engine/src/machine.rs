//! What the run runs on, for the record.

use std::collections::BTreeMap;
use touchstone_core::record::MachineRecord;

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// The machine in a few fields.
pub fn describe() -> MachineRecord {
    let line = |file: &str, prefix: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let value = |line: &str| {
            Some(
                line.strip_prefix(prefix)?
                    .trim_matches([' ', '\t', ':', '=', '"'])
                    .to_owned(),
            )
        };
        text.lines()
            .find_map(value)
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let memory_kib = line("/proc/meminfo", "MemTotal")
        .replace(" kB", "")
        .parse()
        .unwrap_or(0_u64);
    MachineRecord {
        system: line("/etc/os-release", "PRETTY_NAME"),
        processor: line("/proc/cpuinfo", "model name"),
        cores: cores(),
        memory_mib: memory_kib / 1024,
    }
}

/// Versions of what does not come from a store: `touchstone` and the kernel.
pub fn versions() -> BTreeMap<String, String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    BTreeMap::from([
        ("kernel".to_owned(), kernel.trim().to_owned()),
        (
            "touchstone".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        ),
    ])
}
