//! Container images without a container engine: pulled from a registry or read from an archive, checked to the last byte, and unpacked into folders that an
//! overlay can stand on.
//!
//! ```text
//! STATE/images/gate              shared while something is pulled, exclusive while something is removed
//! STATE/images/layers/SHA256/    one layer, by the digest of its uncompressed archive: tree/, note.json, and the archive as it came. Written aside, synced, renamed
//! STATE/images/kept/SHA256.json  one image, by the digest of its manifest: its layers, environment and user. Its change time is its last use;
//!                                locked shared by whoever runs in it
//! STATE/images/names/NAME        the digest that a reference stood for when it was pulled last
//! STATE/images/locks/SHA256      held by whoever makes the layer: others wait for it
//! ```
//!
//! - Nothing of an archive decides where anything is written: every path is walked part by part below the layer, and no link is followed.
//! - Everything belongs to the user that steps are outside, whatever the archive says. Set-user-id bits, devices and extended attributes are not taken over.
//! - A layer that is there is whole: it has its name only when all of it was checked and is on disk.

mod archive;
mod build;
mod collect;
mod config;
mod credentials;
mod error;
mod keyring;
mod layer;
mod platform;
mod progress;
mod pull;
mod reference;
mod registry;
mod store;

pub use build::{Blueprint, Material, NotBuilt};
pub use collect::{Listed, Pruned};
pub use credentials::{Credentials, Found};
pub use error::ImageError;
pub use keyring::Keyring;
pub use layer::Limits;
pub use progress::Meter;
pub use pull::{Progress, PullPolicy};
pub use reference::ImageName;
pub use store::{Image, Images, Lease, User};
