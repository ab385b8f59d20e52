//! What a step may take, and how often it may be tried.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::egress::Rule;

/// What an invocation may use at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Processors; fractions are allowed.
    pub cpu: Option<f64>,
    /// Bytes.
    pub memory: Option<u64>,
    pub pids: Option<u32>,
    /// Bytes of the private writable layer.
    pub disk: Option<u64>,
}

/// What an invocation may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    None,
    Open,
    Only(Vec<Rule>),
    /// Everything public, through the proxy that `Only` has, to find out what its list would have to hold.
    Learn,
}

/// Why an attempt may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    Infrastructure,
    Timeout,
    Failed,
}

/// How often a step may be tried, for which reasons, and how long to wait before the next attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// All attempts, the first included; at least 1.
    pub attempts: u32,
    pub on: Vec<RetryOn>,
    pub delay: Duration,
    /// Whether an infrastructure failure is reason enough also when the step had begun already: what it did until then may have had effects.
    #[serde(default)]
    pub after_start: bool,
}

impl Default for Retry {
    /// Infrastructure failures are ours, so they are tried again as long as the step has not begun; nothing else is unless the file says so.
    fn default() -> Self {
        Self { attempts: 2, on: vec![RetryOn::Infrastructure], delay: Duration::from_secs(1), after_start: false }
    }
}
