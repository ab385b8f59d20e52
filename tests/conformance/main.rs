//! The same stories over every implementation of a seam.

mod journal;
