//! How objects in an engine are known to be ours, and whose.
//!
//! Labels say it, and the name proves it: an image may bring labels of its own, which every container of it then has, but it can not name a container.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::id::{NodeId, RunId};
use crate::model::invocation::InvocationSpec;

pub(super) const STATE: &str = "dev.tidegate.state";
const RUN: &str = "dev.tidegate.run";
const NODE: &str = "dev.tidegate.node";
const ATTEMPT: &str = "dev.tidegate.attempt";
const INVOCATION: &str = "dev.tidegate.invocation";
const BOOT: &str = "dev.tidegate.boot";
const SERVICE: &str = "dev.tidegate.service";

/// Which state folder this is: nobody else's objects are touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity(String);

/// An invocation as its objects' labels tell it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labelled {
    pub(super) run: RunId,
    pub(super) node: NodeId,
    pub(super) attempt: u32,
}

impl Identity {
    /// A secret of the folder's own, made at the first call, and where the folder is: a copy of it is another one.
    pub(super) fn of(state: &Path) -> io::Result<Self> {
        let file = state.join("identity");
        if !file.exists() {
            let mut new = tempfile::NamedTempFile::new_in(state)?;
            new.write_all(uuid::Uuid::now_v7().to_string().as_bytes())?;
            new.as_file().sync_all()?;
            // Somebody else may have been first.
            let _ = new.persist_noclobber(&file);
        }
        let (secret, place) = (fs::read(&file)?, fs::metadata(state)?);
        let digest = Sha256::new().chain_update(secret).chain_update(format!(" {} {}", place.dev(), place.ino())).finalize();
        Ok(Self(hex(&digest[..16])))
    }

    /// The name of an invocation's container, and of its volume: the same for nothing else, so that an engine refuses to make it a second time.
    pub(super) fn name(&self, run: &RunId, node: &NodeId, attempt: u32) -> String {
        let digest = Sha256::digest(format!("{} {run}\n{node}\n{attempt}", self.0));
        format!("tidegate-{}-{}", &self.0[..8], hex(&digest[..16]))
    }

    /// That of a service's beside it: services are in one another's way by their names, and in nobody else's.
    pub(super) fn name_of_service(invocation: &str, service: &str) -> String {
        format!("{invocation}.{service}")
    }

    /// The name of the control group that an invocation's container is counted in, by its record: so that whoever has the records knows whose groups live. Not as
    /// those of sandboxes are called, which are swept by the processes in their names.
    pub(super) fn group(&self, place: &Path) -> String {
        let names: Vec<_> = place.iter().rev().take(2).collect();
        let digest = Sha256::digest(format!("{} {names:?}", self.0));
        format!("{}{}", self.groups(), hex(&digest[..16]))
    }

    /// What the names of all of these begin with.
    pub(super) fn groups(&self) -> String {
        format!("tidegate.{}_", &self.0[..8])
    }

    /// `run`: whose it is, which may be another one's than the step's that is done.
    pub(super) fn labels(&self, run: &RunId, spec: &InvocationSpec) -> HashMap<String, String> {
        [
            (STATE, self.0.clone()),
            (RUN, run.to_string()),
            (NODE, spec.node.to_string()),
            (ATTEMPT, spec.attempt.to_string()),
            (INVOCATION, spec.id.as_str().to_owned()),
            (BOOT, boot()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    pub(super) fn labels_of_service(&self, run: &RunId, spec: &InvocationSpec, service: &str) -> HashMap<String, String> {
        let mut labels = self.labels(run, spec);
        labels.insert(SERVICE.to_owned(), service.to_owned());
        labels
    }

    /// What an engine is asked for.
    pub(super) fn filter(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![format!("{STATE}={}", self.0)])])
    }

    /// Whose an object of this name with these labels is; `None` when it is not ours, whatever it says.
    pub(super) fn whose(&self, name: &str, labels: &HashMap<String, String>) -> Option<Labelled> {
        let said = |label: &str| labels.get(label).cloned();
        let found = Labelled { run: RunId::new(said(RUN)?), node: NodeId::new(said(NODE)?), attempt: said(ATTEMPT)?.parse().ok()? };
        let own = self.name(&found.run, &found.node, found.attempt);
        let own = said(SERVICE).map_or_else(|| own.clone(), |service| Self::name_of_service(&own, &service));
        (said(STATE)? == self.0 && name.trim_start_matches('/') == own).then_some(found)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_ours_by_its_name_and_not_by_what_its_image_says() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, theirs) = (Identity::of(one.path()).unwrap(), Identity::of(other.path()).unwrap());
        assert_eq!(ours, Identity::of(one.path()).unwrap());
        let labels: HashMap<String, String> =
            [(STATE, ours.0.as_str()), (RUN, "r1"), (NODE, "build"), (ATTEMPT, "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let (run, node) = (RunId::new("r1"), NodeId::new("build"));
        let name = ours.name(&run, &node, 2);
        assert_eq!(ours.whose(&format!("/{name}"), &labels), Some(Labelled { run: run.clone(), node: node.clone(), attempt: 2 }));
        assert_eq!(ours.whose("eager_turing", &labels), None);
        let beside: HashMap<String, String> = labels.clone().into_iter().chain([(SERVICE.to_owned(), "db".to_owned())]).collect();
        assert_eq!(ours.whose(&format!("{name}.db"), &beside), ours.whose(&name, &labels));
        assert_eq!(ours.whose(&name, &beside), None, "a service is not the step");
        assert_eq!(ours.whose(&format!("{name}.db"), &labels), None);
        assert_eq!(ours.whose(&ours.name(&run, &node, 1), &labels), None);
        assert_eq!(theirs.whose(&name, &labels), None);
        let group = ours.group(Path::new("/state/invocations/r1/build.2"));
        assert!(group.starts_with(&ours.groups()) && group == ours.group(Path::new("/elsewhere/r1/build.2")));
        assert!(group != ours.group(Path::new("/state/invocations/r2/build.2")) && group != theirs.group(Path::new("/state/invocations/r1/build.2")));
        assert_eq!(theirs.whose(&theirs.name(&run, &node, 2), &labels), None);
    }

    #[test]
    fn a_copy_of_a_state_folder_is_another_one() {
        let (one, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ours = Identity::of(one.path()).unwrap();
        fs::copy(one.path().join("identity"), copy.path().join("identity")).unwrap();
        assert_ne!(ours, Identity::of(copy.path()).unwrap());
    }
}
