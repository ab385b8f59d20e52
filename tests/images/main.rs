//! Images without an engine: from a real registry, and from archives, into the sandbox. And what hostile images try.

mod attacks;
mod builder;
mod imports;
mod kept;
mod pulls;
mod registry;
mod steps;
mod users;
