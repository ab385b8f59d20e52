//! The only place where the time is read for the machines.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::time::Timestamp;

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// How long until `at`; zero when it has passed.
pub fn until(at: Timestamp) -> std::time::Duration {
    at.since(now())
}
