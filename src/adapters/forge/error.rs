//! Why something could not be said, and whether to say it later. Never holds a token, nor what a forge sent, beyond one clean line.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// It may go well later. Whether it was done is not known.
    #[error("{why}")]
    Retry {
        /// Not before; `None`: as the one who asks thinks fit.
        after: Option<Duration>,
        why: String,
    },
    /// It would be the same the next time.
    #[error("{why}")]
    Refused { why: String },
}

/// Characters of what a forge said that are repeated.
const MOST: usize = 300;

impl ForgeError {
    pub(super) fn later(why: impl Into<String>) -> Self {
        Self::Retry { after: None, why: why.into() }
    }
    pub(super) fn never(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into() }
    }
}

/// One line, without control characters.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect::<String>().trim().to_owned()
}
