//! The machine against scripts, random inputs and a random provider.

mod random;
mod stories;
pub(super) mod world;
