//! The mechanism that keeps a process apart: namespaces, an overlay, no capabilities. Executors run invocations in it, the gateway runs functions in it.
//!
//! ```text
//! tidegate ──exec──▶ tidegate sandbox-init (one a sandbox; its stdin is the lifeline: when tidegate dies, it ends)
//!                       └─clone: new namespaces─▶ init (PID 1: reaps, dies with its parent) ──▶ the process
//! ```

mod spec;

pub use spec::*;

/// The hidden first argument that makes the binary a sandbox's first process.
pub const INIT_COMMAND: &str = "sandbox-init";

/// The sandbox's first process. Called before any thread exists.
pub fn init_main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
