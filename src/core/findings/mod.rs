//! Security results: what makes two of them the same, which are allowed, and which fail a step.

mod allow;
mod few;
mod fingerprint;
mod gate;
mod kept;
mod masked;
mod sarif;

pub use allow::{AllowError, AllowList, Sorted};
pub use fingerprint::{Secret, fingerprint};
pub use gate::{Gate, Verdict};
pub use kept::note;
pub use masked::masked_sarif;
pub use sarif::{Sarif, SarifError, read_sarif};
