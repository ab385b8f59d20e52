//! One archive that is two: an OCI layout, and what `docker save` writes. Both name the same files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::super::layer::bad;
use super::super::platform;
use super::super::reference::ImageName;
use super::super::registry::digest_of;
use super::super::store::{Image, Kept};
use super::{Blob, Material};
use crate::adapters::workspace::Halt;
use crate::model::build::ImageBuild;

/// The new image's configuration: that of the one below, with what `build:` says.
pub(super) fn config(below: &Kept, image: &Image, build: &ImageBuild, diff_ids: &[String], time: u64) -> io::Result<Vec<u8>> {
    let (process, begins) = (&below.process, &build.begins);
    let mut env = process.env.clone();
    env.extend(build.env.clone());
    if let Some(name) = build.env.iter().find(|(name, value)| name.is_empty() || value.contains('\0')).map(|(name, _)| name) {
        return Err(bad(format!("the variable {name:?} of the image holds what no variable can hold")));
    }
    let mut config = process.others.clone();
    config.insert("Env".to_owned(), env.iter().map(|(name, value)| format!("{name}={value}")).collect());
    // Arguments belong to what they are given to.
    let inherited = if begins.entrypoint.is_some() { &[][..] } else { &process.cmd[..] };
    let lists = [("Entrypoint", begins.entrypoint.as_deref().unwrap_or(&process.entrypoint)), ("Cmd", begins.cmd.as_deref().unwrap_or(inherited))];
    config.extend(lists.into_iter().filter(|(_, words)| !words.is_empty()).map(|(name, words)| (name.to_owned(), json!(words))));
    let texts =
        [("WorkingDir", begins.workdir.as_deref().unwrap_or(&process.working_dir)), ("User", begins.user.as_deref().unwrap_or(&process.user))];
    config.extend(texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), json!(text))));
    let (os, architecture) = platform::own();
    let created = jiff::Timestamp::from_second(i64::try_from(time).unwrap_or(0)).map_err(io::Error::other)?.to_string();
    let mut history: Vec<Value> = below.layers.iter().map(|_| json!({ "created_by": image.reference })).collect();
    history.push(json!({ "created": created, "created_by": "tidegate" }));
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    let whole = json!({ "architecture": architecture, "os": os, "created": created, "config": config, "rootfs": rootfs, "history": history });
    Ok(serde_json::to_vec(&whole)?)
}

pub(super) fn write(to: &Path, material: Material<'_>, layers: &[Blob], config: &[u8], name: Option<&ImageName>, base: &Image) -> io::Result<()> {
    let described = |kind: &str, digest: &str, size: u64| json!({ "mediaType": kind, "digest": digest, "size": size });
    let listed = layers.iter().map(|blob| Ok(described(blob.media_type()?, &blob.digest, blob.size))).collect::<io::Result<Vec<_>>>()?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &digest_of(config), config.len() as u64),
        "layers": listed,
        "annotations": { "org.opencontainers.image.base.name": base.reference, "org.opencontainers.image.base.digest": base.digest },
    }))?;
    let (os, architecture) = platform::own();
    let mut entry = described("application/vnd.oci.image.manifest.v1+json", &digest_of(&manifest), manifest.len() as u64);
    entry["platform"] = json!({ "architecture": architecture, "os": os });
    if let Some(name) = name {
        let name = name.to_string();
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        entry["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
    }
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry] });
    let place = |digest: &str| format!("blobs/sha256/{}", digest.strip_prefix("sha256:").unwrap_or_default());
    let saved = json!([{
        "Config": place(&digest_of(config)),
        "RepoTags": name.map(|name| vec![name.to_string()]),
        "Layers": layers.iter().map(|blob| place(&blob.digest)).collect::<Vec<_>>(),
    }]);

    let mut archive = Archive { tar: Builder::new(BufWriter::new(File::create_new(to)?)), time: material.time, halt: material.halt };
    archive.bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.folder("blobs")?;
    archive.folder("blobs/sha256")?;
    let mut written = BTreeSet::new();
    for blob in layers.iter().filter(|blob| written.insert(blob.hex().to_owned())) {
        archive.file(&place(&blob.digest), blob)?;
    }
    for bytes in [config, &manifest] {
        archive.bytes(&place(&digest_of(bytes)), bytes)?;
    }
    archive.bytes("index.json", &serde_json::to_vec(&index)?)?;
    archive.bytes("manifest.json", &serde_json::to_vec(&saved)?)?;
    archive.tar.into_inner()?.flush()
}

struct Archive<'a> {
    tar: Builder<BufWriter<File>>,
    time: u64,
    halt: Halt<'a>,
}

impl Archive<'_> {
    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header.set_size(size);
        header
    }

    fn bytes(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, 0o644, bytes.len() as u64);
        self.tar.append_data(&mut header, path, bytes)
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        let mut header = self.header(EntryType::Directory, 0o755, 0);
        self.tar.append_data(&mut header, path, io::empty())
    }

    fn file(&mut self, path: &str, blob: &Blob) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, 0o644, blob.size);
        self.tar.append_data(&mut header, path, self.halt.reading(File::open(&blob.at)?))
    }
}
