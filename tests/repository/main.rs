//! Repositories made by real git, read through libgit2, and the file trees made from them.

mod git;
#[path = "../support/git_http.rs"]
mod git_http;

#[path = "../support/packs.rs"]
mod packs;

mod leftovers;
mod mirror;
mod source;
mod tidying;
mod workspace;
