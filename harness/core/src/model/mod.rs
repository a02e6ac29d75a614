//! Models: what a correct service would answer, small enough to be believed by reading.

pub mod kv;
pub mod limiter;
pub mod sliding_limiter;
