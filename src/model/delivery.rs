//! A webhook request as it was received, and what became of it.

use serde::{Deserialize, Serialize};

use super::id::{DeliveryId, RunId};
use super::time::Timestamp;

/// Stored before it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    /// The forge's own word: `push`.
    pub event: String,
    pub received: Timestamp,
    /// JSON, as it was signed (of a form, its `payload`).
    pub body: Vec<u8>,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "handled", rename_all = "kebab-case")]
pub enum Handled {
    /// Nothing in it asks for anything.
    Ignored { because: String },
    /// It has asked for runs; none if no pipeline wanted it.
    Asked { runs: Vec<RunId> },
    /// It said something about what there is already: an approval, a cancellation.
    Obeyed { what: String },
    /// Whoever said it may not.
    Refused { because: String },
    /// It can not be done, and trying again would not help.
    Failed { why: String },
}
