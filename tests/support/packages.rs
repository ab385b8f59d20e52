//! Functions to publish, and packages of the fixtures.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tidegate::adapters::provider::LocalOptions;
use tidegate::adapters::sandbox;
use tidegate::model::function::{EnvValue, Function, Target};
use tidegate::model::id::Digest;
use zip::write::SimpleFileOptions;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/functions").join(name)
}

pub fn options() -> LocalOptions {
    sandbox::set_program(env!("CARGO_BIN_EXE_tidegate"));
    LocalOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

pub fn function(name: &str) -> Function {
    Function {
        name: name.to_owned(),
        runtime: "provided.al2023".to_owned(),
        handler: "app.handler".to_owned(),
        memory: 256 << 20,
        timeout: Duration::from_secs(30),
        concurrency: 10,
        env: BTreeMap::new(),
        target: Target::Local,
    }
}

pub fn with_env(mut function: Function, key: &str, value: &str) -> Function {
    function.env.insert(key.to_owned(), EnvValue::Plain(value.to_owned()));
    function
}

/// A zip with these files; the last part of each is whether it can be executed.
pub fn zip_of(into: &Path, files: &[(&str, &[u8], bool)]) -> (PathBuf, Digest) {
    let path = into.join("function.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, contents, executable) in files {
        let mode = if *executable { 0o755 } else { 0o644 };
        zip.start_file(*name, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
        zip.write_all(contents).unwrap();
    }
    zip.finish().unwrap();
    let digest = digest_of(&path);
    (path, digest)
}

/// A zip of the files in a folder of the fixtures.
pub fn zip_fixture(into: &Path, name: &str) -> (PathBuf, Digest) {
    let bootstrap = std::fs::read(fixture(name).join("bootstrap")).unwrap();
    zip_of(into, &[("bootstrap", &bootstrap, true)])
}

pub fn digest_of(path: &Path) -> Digest {
    Digest::from_sha256(Sha256::digest(std::fs::read(path).unwrap()).into())
}
