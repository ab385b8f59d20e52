//! What the judge can say.

use std::time::Duration;

use super::metric::MetricName;

#[derive(Debug, Clone, PartialEq)]
#[must_use = "a verdict that nobody acts on lets a bad release go on"]
pub enum Verdict {
    /// Worse, and sure enough: roll back.
    Fail(Failure),
    /// Nothing against it yet, but not enough for it either: look again.
    Hold(Shortage),
    /// Long enough, seen often enough, and nothing against it.
    StagePassed,
    /// The stage's patience is over and there is still not enough to go by. Never a success.
    Inconclusive(Shortage),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// Instances of the new release never came up. One is enough; no statistics needed.
    InitFailures {
        instances: u64,
    },
    Worse {
        metric: MetricName,
    },
}

/// What a stage still lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortage {
    Time {
        left: Duration,
    },
    Samples {
        seen: u64,
        needed: u64,
    },
    /// Requests do not reach the releases as the weights say, so comparing them means little.
    Routing {
        canary: u64,
        stable: u64,
    },
    /// Enough was seen once, but nothing could be observed lately.
    Blind,
}
