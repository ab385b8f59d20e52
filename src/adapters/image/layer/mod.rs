//! One layer: an archive, compressed or not, becomes a folder that an overlay can stand on.
//!
//! ```text
//! file ─▶ stream (gunzip, zstd; bounded, digested) ─▶ entry (tar headers, paths checked) ─▶ tree (written, no link followed)
//! ```

mod entry;
mod stream;
mod tree;
mod unpack;

use std::io;

pub(super) use unpack::{Fault, unpack};

/// How much of an image is put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one layer's archive, uncompressed.
    pub layer_bytes: u64,
    /// Files, folders and links in one layer.
    pub entries: u64,
    /// An archive may unpack to so many times its size …
    pub ratio: u64,
    /// … once it is larger than this: little things may be as empty as they like.
    pub ratio_from: u64,
    pub layers: usize,
    /// Bytes of one layer as it is transferred.
    pub transfer_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { layer_bytes: 16 << 30, entries: 500_000, ratio: 200, ratio_from: 256 << 20, layers: 127, transfer_bytes: 8 << 30 }
    }
}

/// What is wrong with the layer itself, as opposed to with the machine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Bad(pub(super) String);

/// As an error that can pass through readers.
pub(super) fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Bad(why.into()))
}

/// A name of the archive's, so that it can be shown.
fn shown(path: &[u8]) -> String {
    super::error::said(String::from_utf8_lossy(path).escape_debug())
}
