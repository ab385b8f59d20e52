//! Floor 3: everything that touches the world. Siblings do not name one another, except along the arrows drawn in docs/architecture.md
//! (`executor → sandbox`, `executor → workspace`, `executor → egress`, `gateway → sandbox`, `provider::local → gateway`); they name `model`, and nothing of `core`.

pub mod access;
pub mod admission;
pub mod database;
pub mod deliveries;
pub mod egress;
pub mod executor;
pub mod forge;
pub mod gateway;
pub mod image;
pub mod journal;
pub mod mailbox;
pub mod provider;
pub mod sandbox;
pub mod scan;
pub mod secrets;
pub mod source;
pub mod state;
pub mod terminal;
pub mod trigger;
pub mod workspace;
