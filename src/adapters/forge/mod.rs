//! Where repositories and their checks live, and what was said there last.

mod error;
pub mod github;
pub mod reports;

pub use error::ForgeError;
