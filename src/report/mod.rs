//! Floor 2: renderings of facts, findings and diagnostics. Pure: what is shown is a function of what is handed in.

pub mod findings;
pub mod run;
pub mod sarif;
//! Floor 2: renderings of facts, findings and diagnostics. Pure: data in, text out.

pub mod rollout;

pub mod diagnostics;
pub mod diagnostics_data;
pub mod plan;
