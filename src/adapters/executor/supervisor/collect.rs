//! What a step leaves: its values, and its declared outputs as stored files and as one layer for those who need them.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::around::Places;
use super::merged::{Found, Merged};
use super::values;
use super::verify::{artifact_line, file_line, folder_line, link_line};
use super::weigh::{DEPTH, Room};
use crate::adapters::workspace::{Halt, Scratch, Store, WorkspaceError};
use crate::model::artifact::{Artifact, ArtifactKind};
use crate::model::id::Digest;
use crate::model::invocation::{Discarded, InvocationSpec, OutputDeclaration};

#[derive(Debug, Default)]
pub(in super::super) struct Collected {
    pub(in super::super) artifacts: Vec<Artifact>,
    pub(in super::super) values: std::collections::BTreeMap<String, String>,
    pub(in super::super) layer: Option<PathBuf>,
    /// How much of what the step wrote is in its outputs.
    pub(in super::super) taken: Discarded,
    /// What is left to be removed when somebody has the result.
    pub(in super::super) rubbish: Option<Scratch>,
}

/// Why not, by whose fault.
pub(super) enum NotCollected {
    Step(String),
    Ours(String),
    /// Nobody wanted it any more, or it was too late.
    Halted,
}

impl From<WorkspaceError> for NotCollected {
    fn from(error: WorkspaceError) -> Self {
        match error {
            WorkspaceError::Halted => Self::Halted,
            other => Self::Ours(other.to_string()),
        }
    }
}

pub(super) fn all(store: &Store, spec: &InvocationSpec, places: &Places, halt: Halt<'_>) -> Result<Collected, NotCollected> {
    let values = read_values(&places.answers.join("values"), spec.limits.values)?;
    if spec.outputs.is_empty() {
        return Ok(Collected { values, ..Collected::default() });
    }
    store.make_folder(&places.collecting)?;
    let merged = Merged::new(&places.upper, &places.lower);
    let room = Room::of(spec.limits.outputs);
    weigh(&merged, &spec.outputs, room, halt)?;
    let mut collection = Collection { store, halt, merged, layer: places.collecting.clone(), room, taken: Discarded::default() };
    let mut artifacts = Vec::new();
    let mut whole = Sha256::new();
    for declared in &spec.outputs {
        let (artifact, executable) = collection.output(declared)?;
        whole.update(artifact_line(&artifact, executable));
        artifacts.push(artifact);
    }
    let layer = store.keep_layer(&collection.layer, &Digest::from_sha256(whole.finalize().into()))?;
    Ok(Collected { artifacts, values, layer: Some(layer), taken: collection.taken, rubbish: None })
}

/// Before anything is read.
fn weigh(merged: &Merged, outputs: &[OutputDeclaration], mut room: Room, halt: Halt<'_>) -> Result<(), NotCollected> {
    for declared in outputs {
        if let Some(relative) = plain(&declared.path) {
            room.weigh(merged, &relative, halt).map_err(|error| named(error, |why| refused(declared, &why)))?;
        }
    }
    Ok(())
}

fn refused(declared: &OutputDeclaration, why: &str) -> NotCollected {
    NotCollected::Step(format!("output {} ({}) {why}", declared.name, declared.path))
}

fn read_values(file: &Path, limit: u64) -> Result<std::collections::BTreeMap<String, String>, NotCollected> {
    // The step may have put anything in the file's place.
    if !fs::symlink_metadata(file).is_ok_and(|meta| meta.is_file()) {
        return Err(NotCollected::Step(
            "$TIDEGATE_OUTPUT is no longer a file: append lines to it with `echo key=value >> \"$TIDEGATE_OUTPUT\"`".to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
    read.map_err(|error| NotCollected::Step(format!("$TIDEGATE_OUTPUT can not be read any more: {error}")))?;
    if bytes.len() as u64 > limit {
        return Err(NotCollected::Step(format!(
            "$TIDEGATE_OUTPUT is longer than its limit of {limit} bytes: leave larger things as files in `outputs`"
        )));
    }
    values::parse(&bytes).map_err(NotCollected::Step)
}

struct Collection<'a> {
    store: &'a Store,
    halt: Halt<'a>,
    merged: Merged,
    /// Where the layer grows.
    layer: PathBuf,
    room: Room,
    taken: Discarded,
}

impl Collection<'_> {
    /// The output, and whether it is executable.
    fn output(&mut self, declared: &OutputDeclaration) -> Result<(Artifact, bool), NotCollected> {
        let refuse = |why: String| refused(declared, &why);
        let relative = plain(&declared.path).ok_or_else(|| refuse("leaves the workspace: name a path inside, without `..`".to_owned()))?;
        let (digest, size, kind, executable) = match self.look(&relative)? {
            Found::Nothing => return Err(refuse(self.missing(&relative))),
            Found::Link { to } => return Err(refuse(format!("is a symbolic link (to {}): an output is a file or a folder itself", shown(&to)))),
            Found::Special { what } => return Err(refuse(format!("is {what}: an output is a file or a folder"))),
            Found::File { at, meta, own } => {
                self.make_parents(&relative)?;
                let (digest, executable) = self.file(&relative, &at, &meta, own).map_err(|error| named(error, refuse))?;
                (digest, meta.len(), ArtifactKind::File, executable)
            }
            Found::Folder => {
                self.make_parents(&relative)?;
                let mut listing = Sha256::new();
                let size = self.folder(&relative, Path::new(""), &mut listing).map_err(|error| named(error, refuse))?;
                (Digest::from_sha256(listing.finalize().into()), size, ArtifactKind::Folder, false)
            }
        };
        let path = relative.to_str().ok_or_else(|| refuse("has a name that is not UTF-8".to_owned()))?.to_owned();
        Ok((Artifact { name: declared.name.clone(), path, digest, size, kind }, executable))
    }

    fn look(&self, relative: &Path) -> Result<Found, NotCollected> {
        self.merged.look(relative).map_err(|error| NotCollected::Step(format!("{} can not be looked at: {error}", shown(relative))))
    }

    /// One file into the store and the layer; its digest and whether it is executable.
    fn file(&mut self, relative: &Path, at: &Path, meta: &fs::Metadata, own: bool) -> Result<(Digest, bool), NotCollected> {
        self.room.take(meta.len())?;
        let target = self.layer.join(relative);
        if fs::symlink_metadata(&target).is_ok() {
            // Declared twice, or as part of another output.
            return Ok(self.store.digest_of(&target, self.halt)?);
        }
        let stored = self.store.take_in(at, own, self.halt)?;
        self.store.lay_out(&stored, &target)?;
        if own {
            self.taken.files += 1;
            self.taken.bytes += meta.blocks().saturating_mul(512).min(meta.len());
        }
        Ok((stored.digest, stored.executable))
    }

    fn folder(&mut self, output: &Path, below: &Path, listing: &mut Sha256) -> Result<u64, NotCollected> {
        let relative = output.join(below);
        if below.components().count() > DEPTH {
            return Err(NotCollected::Step(format!("has folders more than {DEPTH} deep")));
        }
        let ours = |error: std::io::Error| NotCollected::Ours(error.to_string());
        self.make_folder(&self.layer.join(&relative))?;
        let mut size = 0;
        let names = self.merged.list(&relative, self.room.files).map_err(|error| NotCollected::Step(format!("can not be listed: {error}")))?;
        for (name, found) in names {
            let (path, inner) = (relative.join(&name), below.join(&name));
            let line = match found {
                Found::Nothing => continue,
                Found::Folder => {
                    size += self.folder(output, &inner, listing)?;
                    folder_line(&inner)
                }
                Found::File { at, meta, own } => {
                    size += meta.len();
                    let (digest, executable) = self.file(&path, &at, &meta, own)?;
                    file_line(&inner, executable, &digest)
                }
                Found::Link { to } => {
                    if !stays_inside(below, &to) {
                        return Err(NotCollected::Step(format!("has a symbolic link that leaves it: {} -> {}", shown(&inner), shown(&to))));
                    }
                    let link = self.layer.join(&path);
                    if fs::symlink_metadata(&link).is_err() {
                        symlink(&to, link).map_err(ours)?;
                    }
                    link_line(&inner, &to)
                }
                Found::Special { what } => return Err(NotCollected::Step(format!("has {what} in it: {}", shown(&inner)))),
            };
            listing.update(line);
        }
        Ok(size)
    }

    /// Only for what was looked at and is there: then every parent is a folder in the workspace, and so in the layer.
    fn make_parents(&self, relative: &Path) -> Result<(), NotCollected> {
        let mut at = self.layer.clone();
        for part in relative.parent().into_iter().flat_map(Path::components) {
            at.push(part);
            self.make_folder(&at)?;
        }
        Ok(())
    }

    /// Makes nothing through a link of the layer: those lead wherever the step wants.
    fn make_folder(&self, at: &Path) -> Result<(), NotCollected> {
        match fs::symlink_metadata(at) {
            Ok(there) if there.is_dir() => Ok(()),
            Ok(_) => Err(NotCollected::Ours(format!("{} is in the way of a folder", at.display()))),
            Err(_) => Ok(self.store.make_folder(at)?),
        }
    }

    /// "was not made", and what there is instead.
    fn missing(&self, relative: &Path) -> String {
        let above = relative.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        for above in above {
            if let Ok(Found::Link { to }) = self.merged.look(above) {
                return format!("is behind a symbolic link ({} -> {}), which is not followed: write to a folder", shown(above), shown(&to));
            }
        }
        let folder = relative.ancestors().skip(1).find(|folder| matches!(self.merged.look(folder), Ok(Found::Folder))).unwrap_or(Path::new(""));
        let names = self.merged.list(folder, 10_000).unwrap_or_default();
        let some: Vec<_> = names.keys().take(10).map(|name| shown(Path::new(name))).collect();
        let more = names.len().saturating_sub(some.len());
        let place = if folder.as_os_str().is_empty() { "the workspace".to_owned() } else { shown(folder) };
        let listed = match (some.is_empty(), more) {
            (true, _) => "nothing".to_owned(),
            (false, 0) => some.join(", "),
            (false, more) => format!("{} and {more} more", some.join(", ")),
        };
        format!("was not made by the step; in {place} there is: {listed}")
    }
}

/// Puts the output's name before what is wrong with it.
fn named(error: NotCollected, refuse: impl FnOnce(String) -> NotCollected) -> NotCollected {
    match error {
        NotCollected::Step(why) => refuse(why),
        other => other,
    }
}

fn plain(path: &str) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => relative.push(name),
            _ => return None,
        }
    }
    (!relative.as_os_str().is_empty()).then_some(relative)
}

/// Whether a link in the folder `at` (relative to an output's top) ends inside that output. Upwards only at its beginning, where all above are real
/// folders: behind a name that is a link itself, `..` is somewhere else than the words say.
fn stays_inside(at: &Path, to: &Path) -> bool {
    let (mut depth, mut down) = (at.components().count(), false);
    for part in to.components() {
        match part {
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 && !down => depth -= 1,
            _ => return false,
        }
    }
    true
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().take(200).flat_map(char::escape_debug).collect()
}
