//! Security results: what makes two of them the same, which are allowed, and which fail a step.

mod allow;
mod fingerprint;
mod gate;
mod sarif;

pub use allow::{AllowError, AllowList, Sorted};
pub use fingerprint::{Secret, fingerprint};
pub use gate::{Gate, Verdict};
pub use sarif::{SarifError, read_sarif};
