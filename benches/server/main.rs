//! The server under load, as it is installed: `cargo bench --bench server [-- first-line|queue]`. About ten minutes; as root, as steps run in sandboxes.
//!
//! The real `tidegate serve`, real git over HTTP as the remote, and the small GitHub of the tests, which remembers. Two tables in Markdown:
//!
//! ```text
//! first-line   from a delivery that is sent to the first line of its first step on disk, and where that time goes
//! queue        10,000 runs that wait: memory, start-up, what it costs to ask for one more, and to begin the next
//! ```
//! Rows of one table take turns (A B C A B C …), so that what a busy machine does, it does to all of them.

#[path = "../../tests/hooks/client.rs"]
#[allow(dead_code, reason = "the hooks' tests use more of it")]
mod client;
#[path = "../common/mod.rs"]
mod common;
mod first_line;
#[path = "../../tests/support/git_http.rs"]
mod git_http;
#[path = "../../tests/support/github.rs"]
mod github;
#[path = "../../tests/server/payloads.rs"]
#[allow(dead_code, reason = "the server's tests use more of it")]
mod payloads;
#[path = "../../tests/handover/process.rs"]
#[allow(dead_code, reason = "the tests of handovers use more of it")]
mod process;
mod queue;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../../tests/server/town.rs"]
#[allow(dead_code, reason = "the server's tests use more of it")]
mod town;
mod watch;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            first_line::table(100);
            queue::table(&queue::SIZES);
        }
        ["first-line"] => first_line::table(100),
        ["first-line", many] => first_line::table(many.parse().expect("deliveries of each kind")),
        ["queue"] => queue::table(&queue::SIZES),
        ["queue", sizes @ ..] => queue::table(&sizes.iter().map(|size| size.parse().expect("runs that wait")).collect::<Vec<_>>()),
        _ => panic!("expected nothing, `first-line [DELIVERIES]`, or `queue [SIZE …]`"),
    }
}
