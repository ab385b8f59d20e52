//! Images made by hand, good and bad: layers entry by entry, their digests, their configuration.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// The archive of one layer, uncompressed.
#[derive(Clone, Default)]
pub struct Layer {
    entries: Vec<u8>,
}

impl Layer {
    /// Any entry, whatever its path says.
    pub fn entry(mut self, kind: EntryType, path: &str, link: &str, mode: u32, contents: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(contents.len() as u64);
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.entries.extend_from_slice(header.as_bytes());
        self.entries.extend_from_slice(contents);
        self.entries.resize(self.entries.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, path, "", 0o644, contents.as_ref())
    }

    pub fn program(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, path, "", 0o755, contents.as_ref())
    }

    pub fn folder(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", 0o755, &[])
    }

    pub fn link(self, path: &str, to: &str) -> Self {
        self.entry(EntryType::Symlink, path, to, 0o777, &[])
    }

    pub fn hard(self, path: &str, of: &str) -> Self {
        self.entry(EntryType::Link, path, of, 0o644, &[])
    }

    /// A PAX header for the next entry.
    pub fn pax(self, key: &str, value: &str) -> Self {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
        self.entry(EntryType::XHeader, "pax", "", 0o644, format!("{length} {key}={value}\n").as_bytes())
    }

    pub fn tar(&self) -> Vec<u8> {
        let mut whole = self.entries.clone();
        whole.resize(whole.len() + 1024, 0);
        whole
    }
}

/// Busybox, with the programs that the tests use.
pub fn busybox() -> Layer {
    let programs =
        "sh cat ls echo id env mkdir rm ln stat test pwd head sleep touch chmod wc grep find mount sed mknod chown cp mv du sync hostname true";
    let base = Layer::default().folder("bin").program("bin/busybox", std::fs::read("/bin/busybox").expect("busybox-static"));
    let base = programs.split(' ').fold(base, |layer, name| layer.link(&format!("bin/{name}"), "busybox"));
    base.folder("etc").file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234::/home/app:/bin/sh\n").folder("tmp").folder("root")
}

/// The same, as nobody else has it. An engine keeps a layer once, and Podman may take away, with somebody else's image, what it is about to use.
pub fn own_busybox() -> Layer {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    busybox().file("etc/made", format!("{} {}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)))
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

pub fn architecture() -> &'static str {
    if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" }
}

/// An image: what is transferred, and what it says of itself.
#[derive(Clone)]
pub struct Made {
    /// As they are transferred, with their media type.
    pub layers: Vec<(Vec<u8>, &'static str)>,
    pub config: serde_json::Value,
}

pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Of layers, lowest first, gzipped.
pub fn image(layers: &[Layer]) -> Made {
    let tars: Vec<Vec<u8>> = layers.iter().map(Layer::tar).collect();
    let config = serde_json::json!({
        "architecture": architecture(), "os": "linux",
        "config": {"Env": ["PATH=/bin:/own", "FROM_IMAGE=yes"]},
        "rootfs": {"type": "layers", "diff_ids": tars.iter().map(|tar| digest(tar)).collect::<Vec<_>>()},
    });
    Made { layers: tars.iter().map(|tar| (gzip(tar), GZIP)).collect(), config }
}

impl Made {
    pub fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.config["config"][key] = value.into();
        self
    }

    pub fn config_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.config).unwrap()
    }

    pub fn manifest(&self) -> serde_json::Value {
        let config = self.config_bytes();
        let layers = self.layers.iter().map(|(bytes, kind)| serde_json::json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()}));
        serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len()},
            "layers": layers.collect::<Vec<_>>(),
        })
    }
}
