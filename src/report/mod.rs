//! Floor 2: renderings of facts, findings and diagnostics. Pure: data in, text out.

pub mod rollout;
