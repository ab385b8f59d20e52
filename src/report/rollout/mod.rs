//! Rollouts for people: the same facts as a picture that moves, as plain lines, as a summary, as tables.
//!
//! ```text
//! facts ─▶ Picture ─┬▶ live      the picture while it moves, redrawn in place
//!                   ├▶ line      one plain line a fact that matters, for pipes and logs
//!                   ├▶ summary   what happened and which numbers decided it
//!                   └▶ show      summary and the way there      (list: one line a rollout)
//! ```
//! Knows nothing of terminals: width and colour come in, text goes out. No control character of a name or reason gets through.

mod line;
mod list;
mod live;
mod picture;
mod show;
mod summary;
mod text;

#[cfg(test)]
mod tests;

pub use line::line;
pub use list::list;
pub use live::live;
pub use picture::{Picture, StageRecord};
pub use show::show;
pub use summary::summary;
pub use text::Look;
