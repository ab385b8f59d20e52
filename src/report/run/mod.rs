//! A run for people: plain lines for pipes, the live graph for terminals, the summary at the end. For programs there is the JSON of each
//! [`crate::model::fact::Entry`], one a line: the journal's own form, so there is nothing to render.
//!
//! ```text
//!  facts ─▶ View ─┬─▶ plain::Plain::line    one line a fact that matters
//!                 ├─▶ live::live            all lines of the screen, now
//!                 └─▶ summary::summary      when it is over
//! ```
//!
//! Nothing that came from outside (names, reasons, log lines) gets to a terminal raw: all of it goes through [`text::clean`].

pub mod found;
pub mod list;
pub mod live;
pub mod look;
mod network;
pub mod plain;
pub mod summary;
pub mod text;
pub mod usage;
pub mod view;

#[cfg(test)]
mod tests;
