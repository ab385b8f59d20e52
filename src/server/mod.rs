//! Floor 5: what is reached over HTTP. [`listen::serve`] takes connections; each part is a router of its own, and whoever starts the server merges them.
//!
//! ```text
//! listeners ── from systemd, from the process before us, or opened ──▶ listen ── a connection each ──▶ the routers
//! handover  ── asked for them by the process after us ──▶ life: draining ──▶ listen lets requests under way end ──▶ gone
//! ```

pub mod api;
pub mod handover;
pub mod life;
pub mod listen;
pub mod listeners;
pub mod metrics;
pub mod notify;
pub mod observe;
pub mod problem;
pub mod traces;
pub mod webhook;
