//! Floor 5: what is reached over HTTP. [`listen::serve`] takes connections; each part is a router of its own, and whoever starts the server merges them.

pub mod listen;
pub mod problem;
pub mod webhook;
