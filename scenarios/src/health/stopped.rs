//! HLTH-2 to HLTH-4: a store is stopped and comes back.

use super::story::{Outage, watch_outage};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::scenario::Scenario;
use touchstone_engine::store::StoreKind;

/// HLTH-2.
pub(crate) const REDIS: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-2",
        statement: "Redis stopped: 503, degraded, redis disconnected and postgres still connected, first seen 1 s or less after the stop",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| {
        let outage = Outage {
            stores: &[StoreKind::Redis],
            kind: ServerFaultKind::Stop,
        };
        watch_outage(context, outage).boxed()
    },
};

/// HLTH-3.
pub(crate) const POSTGRES: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-3",
        statement: "Postgres stopped: 503, degraded, postgres disconnected and redis still connected, first seen 1 s or less after the stop",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| {
        let outage = Outage {
            stores: &[StoreKind::Postgres],
            kind: ServerFaultKind::Stop,
        };
        watch_outage(context, outage).boxed()
    },
};

/// HLTH-4.
pub(crate) const BOTH: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-4",
        statement: "Both stores stopped: both disconnected; each comes back on its own",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| {
        let outage = Outage {
            stores: &StoreKind::ALL,
            kind: ServerFaultKind::Stop,
        };
        watch_outage(context, outage).boxed()
    },
};
