//! Repositories made by real git, read through libgit2, and the file trees made from them.

mod git;
#[path = "../support/git_http.rs"]
mod git_http;

mod mirror;
mod source;
mod workspace;
