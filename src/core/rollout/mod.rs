//! The rollout machine: moves traffic from the stable release to a new one, stage by stage, and back as soon as the judge says so.
//!
//! ```text
//!             ┌──────────────── the next stage ────────────────┐
//!             ▼                                                │
//! Publishing ─▶ Prewarming ─▶ Shifting ─▶ Observing ── passed ─┴─ last ─▶ Prewarming ─▶ Promoting ─▶ Closing ─▶ Ended
//!     │             │            │            │                                             │           ▲
//!     ▼             └────────────┴────────────┴── worse, inconclusive, aborted, failed ─────┴─▶ RollingBack
//!   Ended                                                                                      │
//!                          somebody else changed the split, or the way back fails ─────────────┴─▶ Ended (stuck)
//! ```
//! Pure: `now` comes in, facts and effects come out. Every change of state is a fact that goes through the one `apply`, live and in replay alike, and
//! effects follow from the state that the facts led to. There is at most one call to the provider in the air; what a person decides meanwhile takes effect
//! when it has answered. Never gives the new release more than the plan says, never takes the stable one out of the split before it has held every stage,
//! never overwrites a split that somebody else has set.

mod apply;
mod decide;
mod effect;
mod input;
mod machine;
mod proceed;
mod state;
mod timing;

#[cfg(test)]
mod tests;

pub use apply::IllegalFact;
pub use effect::Effect;
pub use input::{CallFailure, IllegalInput, Input};
pub use machine::{Order, ReplayError, Rollout};
pub use state::{Call, Standing, State};
