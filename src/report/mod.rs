//! Floor 2: renderings of facts, findings and diagnostics. Pure: what is shown is a function of what is handed in.

pub mod diagnostics;
pub mod diagnostics_data;
pub mod findings;
pub mod github;
pub mod plan;
pub mod rollout;
pub mod run;
pub mod sarif;
pub mod trace;
pub mod workflow;
