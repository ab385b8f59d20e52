//! What an image says about itself: for which machine it is, its layers, and what a process in it finds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::ImageError;
use super::reference::{hex_of, is_sha256};
use super::{Limits, platform};

/// Bytes of a manifest or a configuration.
pub(super) const LARGEST: u64 = 4 << 20;

/// Only what is of use; what else is in it is nobody's business here.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigFile {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    config: Option<Config>,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// As images write it, with a null for everything that is left out.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What is kept of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// As the image says it: a name or a number, perhaps with a group.
    pub(super) user: String,
    pub(super) env: BTreeMap<String, String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) cmd: Vec<String>,
    pub(super) working_dir: String,
    /// What an image that is built on it takes over, as it is.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) others: Map<String, Value>,
}

const OTHERS: [&str; 4] = ["ExposedPorts", "Labels", "StopSignal", "Volumes"];

/// A configuration that fits this machine: the digests of its uncompressed layers, lowest first (hexadecimal), and what a process finds.
pub(super) fn read(reference: &str, bytes: &[u8], limits: Limits) -> Result<(Vec<String>, Process), ImageError> {
    let malformed = |why: String| ImageError::Malformed { reference: reference.to_owned(), why };
    let file: ConfigFile =
        serde_json::from_slice(bytes).map_err(|error| malformed(format!("its configuration can not be read: {}", super::error::said(error))))?;
    let (has, needs) = ((file.os.as_str(), file.architecture.as_str()), platform::own());
    if has != needs {
        let has = super::error::said(platform::shown(has));
        return Err(ImageError::Architecture { reference: reference.to_owned(), has, needs: platform::shown(needs) });
    }
    if file.rootfs.diff_ids.len() > limits.layers {
        let why = format!("it has {} layers, and {} are the most", file.rootfs.diff_ids.len(), limits.layers);
        return Err(ImageError::Unfit { reference: reference.to_owned(), why });
    }
    if !file.rootfs.diff_ids.iter().all(|digest| is_sha256(digest)) {
        return Err(malformed("its configuration names a layer by something else than a sha256 digest".to_owned()));
    }
    let mut layers: Vec<String> = Vec::new();
    for digest in file.rootfs.diff_ids.iter().filter_map(|digest| hex_of(digest)) {
        layers.push(digest.to_owned());
    }
    let config = file.config.unwrap_or_default();
    let env =
        config.env.unwrap_or_default().into_iter().filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
    let process = Process {
        user: config.user.unwrap_or_default(),
        env: env.filter(|(name, value)| !name.is_empty() && !name.contains('\0') && !value.contains('\0')).collect(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        cmd: config.cmd.unwrap_or_default(),
        working_dir: config.working_dir.unwrap_or_default(),
        others: config.others.into_iter().filter(|(name, value)| OTHERS.contains(&name.as_str()) && !value.is_null()).collect(),
    };
    Ok((layers, process))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(architecture: &str, layers: &[String]) -> String {
        let config = serde_json::json!({"User": null, "Env": ["PATH=/bin", "X=a=b", "broken"], "Volumes": {"/x": {}}, "Cmd": null});
        serde_json::json!({"architecture": architecture, "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": layers}})
            .to_string()
    }

    #[test]
    fn a_configuration_is_for_this_machine_and_names_its_layers_by_digest() {
        let (_, own) = platform::own();
        let digest = format!("sha256:{}", "a".repeat(64));
        let (layers, process) = read("x", text(own, std::slice::from_ref(&digest)).as_bytes(), Limits::default()).unwrap();
        assert_eq!(layers, ["a".repeat(64)]);
        assert_eq!(process.env, BTreeMap::from([("PATH".to_owned(), "/bin".to_owned()), ("X".to_owned(), "a=b".to_owned())]));
        let why = |text: &str| read("x", text.as_bytes(), Limits::default()).unwrap_err().to_string();
        assert!(why(&text("s390x", &[])).contains("x is there for linux/s390x and not for this machine"));
        assert!(why(&text(own, &["sha256:../../etc".to_owned()])).contains("something else than a sha256 digest"));
        assert!(why(&text(own, &vec![digest; 128])).contains("it has 128 layers, and 127 are the most"));
        assert!(why("{").contains("can not be read"));
    }
}
