//! One `serve` takes another's place, with real processes and real sockets: nobody who connects is turned away, and whoever was heard is answered.

#[path = "../support/packages.rs"]
mod packages;
#[path = "../support/mod.rs"]
mod support;

mod clients;
mod died;
mod places;
mod process;
mod runs;
mod systemd;
