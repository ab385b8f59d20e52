//! The judge: decides from observed requests whether the new release is worse. Only arithmetic; docs/judge.md has the reasons and the sources.
//!
//! ```text
//! Batch ─▶ counts (can they be?) ─▶ evidence per metric ─▶ Verdict: Fail · Hold · StagePassed · Inconclusive ─▶ VerdictRecord
//!                                   routing (as the weights say?) ─┘
//! ```
//! Knows nothing of clocks, providers or rollouts. Keeps no samples: its state is a few numbers, and the same batches in the same order always give
//! the same bits. Never says "passed" for want of evidence.

mod counts;
mod evidence;
mod factor;
mod logs;
mod metric;
mod routing;
mod state;
mod verdict;
mod words;

pub use counts::BadCounts;
pub use evidence::{Evidence, ODDS};
pub use metric::{Metric, MetricName};
pub use state::{Baseline, Judge, StageProgress};
pub use verdict::{Failure, Shortage, Verdict};
