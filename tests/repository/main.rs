//! Repositories made by real git, read through libgit2, and the file trees made from them.

mod git;

mod source;
mod workspace;
