//! The mechanism that keeps a process apart: namespaces, an overlay, no capabilities, few system calls. Executors run invocations in it, the gateway runs functions in it.
//!
//! ```text
//! tidegate ──exec, once──▶ tidegate sandbox-init   the nursery: forks a helper for every sandbox of a function (a supervisor for every invocation, which
//!                             │                     forks the helper then), and does nothing else
//!                             └─fork─▶ helper      one a sandbox; its socket is the lifeline: when the other end is closed, it kills and ends
//!                                        └─clone: new namespaces─▶ init (PID 1 inside: builds the file tree, drops everything, reaps; dies with the helper)
//!                                                                    └─fork, exec─▶ the process
//! ```
//!
//! - Nothing inside ever has a capability that reaches out, also where root started it: init becomes an unprivileged user (of the host) before it mounts
//!   anything, and has no capability left when the process starts.
//! - Nothing inside can talk to init: it can not be traced, and its descriptors can not be opened.
//! - `Running::wait` returns when the last process of the sandbox is gone and its mounts with it, not before.
//! - Knows nothing of steps, functions, outputs or time-outs.

mod beside;
mod cell;
mod cgroup;
mod course;
mod exec;
mod filetree;
mod helper;
mod host;
mod image_root;
mod init;
mod landlock;
mod launch;
mod network;
mod nursery;
mod pool;
mod prepared;
mod probe;
mod program;
mod required;
mod rlimits;
mod seccomp;
mod spec;
mod sys;
mod syscalls;
mod template;
mod trees;
mod unisolated;
mod warm;
mod wire;

pub use beside::{Beside, beside, hand_over, listen_inside, take_over};
pub use cell::{Cell, begin, begin_beside};
pub use cgroup::{Exceeded, GroupAbove, Limits, Tally, has_our_groups, sweep_groups};
pub use course::{Ended, Standing};
pub use host::TOOL_PATH;
pub use launch::{Running, SandboxError, spawn, spawn_on_terminal};
pub use network::PrivateNetwork;
pub use nursery::{Waiting, init_main, supervisor};
pub use probe::{Capability, Verdict, probe, try_everything, try_isolation, try_protections};
pub use program::{program_file, set_program};
pub use required::required_for;
pub use spec::*;
pub use sys::{landlock_version, monotonic_us};
pub use trees::outer_uid;
pub use unisolated::copy as copy_tree;
pub use warm::{is_on as is_warm, set as set_warm};
pub use wire::{read_blocking as read_message, write_blocking as write_message};

/// The hidden first argument that makes the binary the nursery of its sandboxes.
pub const INIT_COMMAND: &str = "sandbox-init";

/// Who the process is inside.
pub const INNER_UID: u32 = 1000;

/// Where `HOME` may point: made in every sandbox, inside its private `/tmp`.
pub const INNER_HOME: &str = "/tmp/home";
