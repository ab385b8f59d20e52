//! Floor 5: what others reach over HTTP. Answers with what `runtime` and the adapters say; decides nothing.

pub mod api;
pub mod metrics;
pub mod observe;
pub mod traces;
