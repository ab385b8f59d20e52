//! What goes wrong behind the API, in words for whoever asked.

use crate::adapters::access::AccessError;
use crate::adapters::journal::JournalError;
use crate::adapters::state::StateError;
use crate::runtime::records::RecordsError;

pub use crate::server::problem::{MEDIA_TYPE, Problem};

impl From<RecordsError> for Problem {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Unknown { .. } => Self::unknown(error.to_string()),
            RecordsError::Ambiguous { .. } => Self::conflict(error.to_string()),
            other => Self::ours(&other),
        }
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        Self::ours(&error)
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        Self::ours(&error)
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        Self::ours(&error)
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::ours(&error)
    }
}
