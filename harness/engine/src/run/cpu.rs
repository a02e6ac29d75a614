//! How much CPU time the run has used, for the bound that no schedule can beat.

use nix::sys::resource::{UsageWho, getrusage};

/// CPU milliseconds of this process and of the children that it has reaped. What runs in containers
/// belongs to the engine and is not counted.
pub(super) fn used_ms() -> u64 {
    let of = |who| {
        getrusage(who).map_or(0, |usage| {
            let (user, system) = (usage.user_time(), usage.system_time());
            let ms = |time: nix::sys::time::TimeVal| time.tv_sec() * 1000 + time.tv_usec() / 1000;
            u64::try_from(ms(user) + ms(system)).unwrap_or(0)
        })
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}
