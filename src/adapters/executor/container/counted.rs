//! What a step in a container took. An engine removes what counted it together with the container; so the container's control group is made within one that has
//! nothing else in it, which the engine makes on the way and nobody but us removes. It costs the engine no request, and a container that ends at once is counted
//! as well as any other.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bollard::models::SystemInfoCgroupDriverEnum;
use serde::{Deserialize, Serialize};

use super::super::supervisor::desk::Desk;
use super::Engine;
use super::names::Identity;
use crate::adapters::sandbox::GroupAbove;
use crate::model::invocation::InvocationRecord;

/// Who makes an engine's control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Groups {
    /// The engine, as folders.
    Folders,
    /// systemd, which keeps a slice until somebody stops it.
    Slices,
}

impl Groups {
    pub(super) fn of(driver: Option<SystemInfoCgroupDriverEnum>) -> Option<Self> {
        match driver? {
            SystemInfoCgroupDriverEnum::CGROUPFS => Some(Self::Folders),
            SystemInfoCgroupDriverEnum::SYSTEMD => Some(Self::Slices),
            _ => None,
        }
    }

    /// The folder of the group of this name, from the root of each hierarchy. A name has no `-`, which means one slice in another.
    fn folder(self, group: &str) -> String {
        match self {
            Self::Folders => group.to_owned(),
            Self::Slices => format!("{group}.slice"),
        }
    }

    /// What the engine is told to make a container's group in.
    fn parent(self, group: &str) -> String {
        match self {
            Self::Folders => format!("/{group}"),
            Self::Slices => self.folder(group),
        }
    }

    /// When nothing is in it any more; whether that is so. A slice is never stopped before, as that would kill what is in it.
    fn remove(self, folder: &str) -> bool {
        let above = GroupAbove::at(Path::new(folder));
        match self {
            Self::Folders => above.remove(),
            Self::Slices => {
                let empty = above.is_empty();
                if empty {
                    stop(folder);
                }
                empty
            }
        }
    }
}

/// A second: by then there is another reason.
const TRIES: u32 = 200;

/// Between two tries. Never enough.
fn wait() -> bool {
    std::thread::sleep(Duration::from_millis(5));
    false
}

/// Nobody waits for it: who does not hear it now is told by the next sweep.
fn stop(slice: &str) {
    let mut systemctl = Command::new("systemctl");
    systemctl.args(["stop", "--no-block", "--quiet", slice]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Ok(mut asking) = systemctl.spawn() {
        std::thread::spawn(move || asking.wait());
    }
}

/// Of one container.
pub(super) struct Counter {
    groups: Option<Groups>,
    group: String,
}

impl Counter {
    pub(super) fn of(groups: Option<Groups>, identity: &Identity, place: &Path) -> Self {
        Self { groups, group: identity.group(place) }
    }

    /// What the engine is told to make its group in.
    pub(super) fn parent(&self) -> Option<String> {
        self.groups.map(|groups| groups.parent(&self.group))
    }

    /// Notes what there is to say, when all of it has ended.
    pub(super) fn note(&self, record: &mut InvocationRecord) {
        let Some(groups) = self.groups else { return };
        let tally = GroupAbove::at(Path::new(&groups.folder(&self.group))).tally();
        (record.cpu_user_us, record.cpu_system_us) = tally.cpu_us.unzip();
        record.peak_memory_bytes = tally.peak_memory_bytes;
        (record.read_bytes, record.written_bytes) = tally.storage.unzip();
    }

    /// Where an engine does not take it.
    pub(super) fn give_up(&mut self) {
        self.remove();
        self.groups = None;
    }

    /// When the container is gone. What watched it ends a moment after it. What is not empty then is found by the next sweep.
    pub(super) fn remove(&self) {
        if let Some(groups) = self.groups {
            let folder = groups.folder(&self.group);
            let _ = (0..TRIES).any(|_| groups.remove(&folder) || wait());
        }
    }
}

/// Removes what killed supervisors left. Whoever has a container has held the lock of its record since before there was a group: so groups are listed first.
pub(super) fn sweep(engine: &Engine, identity: &Identity, desk: &Desk) {
    let Some(groups) = engine.groups else { return };
    let left = GroupAbove::names(&identity.groups());
    if left.is_empty() {
        return;
    }
    // Who can not say who lives removes nothing.
    let Ok(held) = desk.held() else { return };
    let held: Vec<String> = held.iter().map(|place| groups.folder(&identity.group(place))).collect();
    for folder in left.iter().filter(|folder| !held.contains(folder)) {
        groups.remove(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_called_as_whoever_makes_it_wants_it() {
        let state = tempfile::tempdir().unwrap();
        let identity = Identity::of(state.path()).unwrap();
        let parent = |driver| Counter::of(Groups::of(driver), &identity, Path::new("/invocations/r1/build.1")).parent();
        let group = identity.group(Path::new("/invocations/r1/build.1"));
        assert!(!group.contains('-'), "a slice in slices");
        assert_eq!(parent(Some(SystemInfoCgroupDriverEnum::CGROUPFS)), Some(format!("/{group}")));
        assert_eq!(parent(Some(SystemInfoCgroupDriverEnum::SYSTEMD)), Some(format!("{group}.slice")));
        assert_eq!((parent(Some(SystemInfoCgroupDriverEnum::NONE)), parent(None)), (None, None));
    }

    #[test]
    fn what_nobody_counts_is_left_open() {
        let state = tempfile::tempdir().unwrap();
        let identity = Identity::of(state.path()).unwrap();
        let mut record = InvocationRecord::default();
        Counter::of(None, &identity, state.path()).note(&mut record);
        // A group that was never made.
        let mut counter = Counter::of(Some(Groups::Folders), &identity, state.path());
        counter.note(&mut record);
        counter.give_up();
        assert_eq!((record, counter.parent()), (InvocationRecord::default(), None));
    }
}
