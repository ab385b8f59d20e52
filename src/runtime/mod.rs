//! Floor 4: the loop, recovery: the only place that sees both a machine and an adapter, and the only one that reads the clock for the machines.

mod admission;
pub mod asking;
pub mod clock;
mod condition;
pub mod dispatcher;
pub mod drive_rollout;
pub mod drive_run;
mod found;
pub mod hub;
pub mod ids;
pub mod intake;
mod invocation;
mod logs;
pub mod observer;
mod probe;
mod recorder;
pub mod records;
pub mod recover;
pub mod repeat;
pub mod replay;
pub mod reports;
pub mod rollouts;
pub mod said;
pub mod schedule;
pub mod tell;
pub mod words;
