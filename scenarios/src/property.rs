//! What the property tests of this crate drive: a service under comparison with a model or a check, and
//! strategies for what is done to it.

pub use crate::cache::interleaving::{Action, CacheSubject, Interleaving};
pub use crate::kv::sequence::{KvSubject, Step as KvStep};
pub use crate::rate::sequence::{LimiterSubject, Step as LimiterStep};
pub use crate::rate::sequence_sliding::{SlidingStep, SlidingSubject};
pub use crate::search::{config, config_of_tests, search};
