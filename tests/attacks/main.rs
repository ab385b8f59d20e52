//! What a hostile step may try, tried. Each story runs a real sandbox and looks at what came of the attempt from both sides.

#[path = "../support/engines.rs"]
mod engines;
#[path = "../support/users.rs"]
mod ordinary;
#[path = "../support/step.rs"]
mod step;
mod support;

mod basics;
mod beside;
mod bombs;
#[cfg(target_arch = "x86_64")]
mod calls;
mod egress;
mod host;
mod kernel;
mod leftovers;
mod listed;
#[cfg(target_arch = "x86_64")]
mod mounts;
mod others;
mod outputs;
mod proc;
mod survivors;
mod users;
mod walls;
mod whole;
