//! The embedded weighted router, and the host of `local` functions.
//!
//! ```text
//! client ─HTTP─▶ server ─▶ route (which function, which path) ─▶ TrafficSplit::pick ─▶ pool (a warm instance, or a cold one)
//!                                                                                        │ event: payload format 2.0
//!                  counts ◀── answer ◀── desk ◀──Lambda Runtime API── bootstrap ◀────────┘
//! ```
//!
//! Knows nothing of zips, files of releases, revisions or sockets in the state folder: `provider::local` does. One listener of the Runtime API per
//! instance, in that instance's own network: there is no way for one instance to reach another's. A request is counted exactly once, by the task that
//! carries it, whether or not its client still waits.

mod counts;
mod desk;
mod environment;
mod event;
mod fleet;
pub mod http;
mod instance;
mod invoke;
mod launch;
mod log;
mod options;
mod pool;
mod reply;
mod route;
mod runtime_api;
mod server;

pub use counts::Totals;
pub use environment::{RUNTIMES, good_name, why_not};
pub use fleet::{Deployed, Gateway, GatewayError};
pub use instance::InitFailure;
pub use launch::{NoIsolation, choose_isolation};
pub use options::{GatewayOptions, Handed, Isolation};
