//! Floor 2: renderings of facts, findings and diagnostics. Pure: data in, text out.

pub mod diagnostics;
pub mod diagnostics_data;
pub mod plan;
