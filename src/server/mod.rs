//! Floor 5: what others reach over the network while `tidegate serve` runs.
//!
//! ```text
//! listeners ── from systemd, from the process before us, or opened ──▶ door ── a connection each ──▶ the application
//! handover  ── asked for them by the process after us ──▶ life: draining ──▶ door lets requests under way end ──▶ gone
//! ```

pub mod door;
pub mod handover;
pub mod life;
pub mod listeners;
pub mod notify;
