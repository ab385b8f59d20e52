//! Why and when an invocation is ended by somebody else than itself.

use std::time::{Duration, Instant};

use super::disk::Excess;

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Stopped {
    ByItself,
    TimedOut,
    Cancelled,
    /// It wrote too much.
    TooMuch(Excess),
}

/// How long it may take, and how long it then has to end by itself.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Patience {
    /// `None`: further away than the clock reaches.
    pub(in super::super) deadline: Option<Instant>,
    pub(in super::super) grace: Duration,
}
