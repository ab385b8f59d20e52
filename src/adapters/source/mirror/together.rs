//! Many packs become one: written beside the mirror, where nobody looks, and then let in.
//!
//! What is in them is taken as it is, whether anything leads to it or not: a commit that was forced away may still be asked for. An old pack goes when all that it has
//! is in the new one, and that is on disk: so whoever is killed leaves everything where it can be found, some of it twice.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use git2::{Indexer, ObjectType, Odb, OdbLookupFlags, Oid, Repository as Git};

use super::packs::{Loose, Pack};
use super::tidy::Limits;

/// Objects of one pack that is written.
const OBJECTS: usize = 500_000;
/// Packs that become one: nobody can fetch while their files are removed.
const PACKS: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Git(#[from] git2::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Odd(&'static str),
}

type GoOn<'a> = &'a dyn Fn() -> bool;

/// What is put together.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub packs: Vec<Pack>,
    pub loose: Vec<Loose>,
    objects: Vec<(ObjectType, Oid)>,
}

/// A new pack that nobody sees yet.
#[derive(Debug)]
pub(super) struct Written {
    folder: PathBuf,
    name: String,
    of: Chosen,
}

/// The smallest packs, as many as one goes over at once. Where one has an object that is too large to be held in memory, or can not be read, it stays as it is.
pub(super) fn choose(git: &Git, beside: &Path, packs: Vec<Pack>, loose: Vec<Loose>, limits: &Limits, go_on: GoOn<'_>) -> Result<Chosen, Failed> {
    let mut chosen = Chosen::default();
    let mut bytes = 0;
    let whole = alone(git, beside)?;
    let odb = whole.odb()?;
    for one in loose {
        if bytes + one.bytes > limits.bytes || chosen.objects.len() == OBJECTS || !go_on() {
            break;
        }
        let link = link_loose(&whole, &one)?;
        match odb.read_header(one.id) {
            Ok((size, kind)) if size <= limits.object && odb.read(one.id).is_ok() => {
                bytes += one.bytes;
                chosen.objects.push((kind, one.id));
                chosen.loose.push(one);
            }
            _ => fs::remove_file(link)?,
        }
    }
    let mut of_packs = Vec::new();
    let mut seen: HashSet<Oid> = chosen.objects.iter().map(|(_, id)| *id).collect();
    for (number, pack) in packs.into_iter().enumerate() {
        if bytes + pack.bytes > limits.bytes || seen.len() >= OBJECTS || chosen.packs.len() == PACKS || !go_on() {
            break;
        }
        let alone = beside.join(number.to_string());
        let Ok(mut objects) = of_one(&pack, &alone, limits, go_on)? else { continue };
        for ending in ["pack", "idx"] {
            let file = pack.file(ending);
            let name = file.file_name().unwrap_or_default();
            fs::rename(alone.join("pack").join(name), whole.path().join("objects/pack").join(name))?;
        }
        objects.retain(|(_, id)| seen.insert(*id));
        bytes += pack.bytes;
        of_packs.push((pack.since, objects));
        chosen.packs.push(pack);
    }
    // As git wants it: the newest first, and commits before what they have.
    of_packs.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
    chosen.objects.extend(of_packs.into_iter().flat_map(|(_, objects)| objects));
    chosen.objects.sort_by_key(|(kind, _)| match kind {
        ObjectType::Commit => 0,
        ObjectType::Tag => 1,
        ObjectType::Tree => 2,
        _ => 3,
    });
    Ok(chosen)
}

/// A repository that has what is chosen, and nothing else: what is damaged in a pack that stays would be found as well as what is whole.
fn alone(git: &Git, beside: &Path) -> Result<Git, Failed> {
    let made = Git::init_bare(whole(beside))?;
    fs::copy(git.path().join("config"), made.path().join("config"))?;
    Ok(made)
}

fn whole(beside: &Path) -> PathBuf {
    beside.join("whole")
}

fn link_loose(whole: &Git, one: &Loose) -> io::Result<PathBuf> {
    let id = one.id.to_string();
    let link = whole.path().join("objects").join(&id[..2]).join(&id[2..]);
    fs::create_dir_all(link.with_file_name(""))?;
    fs::hard_link(&one.path, &link)?;
    Ok(link)
}

/// What a pack has, read without the others. The inner error is that it is to stay as it is. Each object is read as a whole: one that is damaged would let the new pack
/// fail, in the next round again, and for ever.
fn of_one(pack: &Pack, alone: &Path, limits: &Limits, go_on: GoOn<'_>) -> Result<Result<Vec<(ObjectType, Oid)>, git2::Error>, Failed> {
    let folder = alone.join("pack");
    fs::create_dir_all(&folder)?;
    for ending in ["pack", "idx"] {
        let file = pack.file(ending);
        fs::hard_link(&file, folder.join(file.file_name().unwrap_or_default()))?;
    }
    let odb = database(alone)?;
    let read = || {
        let mut objects = Vec::new();
        odb.foreach(|id| {
            objects.push((ObjectType::Any, *id));
            true
        })?;
        for (kind, id) in &mut objects {
            let (size, found) = odb.read_header(*id)?;
            if size > limits.object {
                return Err(git2::Error::from_str("it has an object that is too large"));
            }
            if !go_on() {
                return Err(git2::Error::from_str("it was not to go on"));
            }
            odb.read(*id)?;
            *kind = found;
        }
        Ok(objects)
    };
    Ok(read())
}

/// One folder of objects, and nothing else.
fn database(folder: &Path) -> Result<Odb<'static>, Failed> {
    let odb = Odb::new()?;
    odb.add_disk_alternate(folder.to_str().ok_or(Failed::Odd("the state folder's path is not UTF-8"))?)?;
    Ok(odb)
}

/// Objects that had the same name in some folder are alike: so they are compared with each other.
fn names(git: &Git, objects: &[(ObjectType, Oid)]) -> HashMap<Oid, String> {
    let mut names = HashMap::new();
    for (_, id) in objects.iter().filter(|(kind, _)| *kind == ObjectType::Tree) {
        // One that nobody can make sense of is packed as well.
        let Ok(tree) = git.find_tree(*id) else { continue };
        for entry in &tree {
            names.entry(entry.id()).or_insert_with(|| String::from_utf8_lossy(entry.name_bytes()).into_owned());
        }
        if names.len() > OBJECTS {
            break;
        }
    }
    names
}

/// Beside the mirror, and on disk when it returns.
pub(super) fn write(beside: &Path, of: Chosen, go_on: GoOn<'_>) -> Result<Written, Failed> {
    let git = Git::open_bare(whole(beside))?;
    let new = beside.join("new");
    let folder = new.join("pack");
    fs::create_dir_all(&folder)?;
    let names = names(&git, &of.objects);
    let mut builder = git.packbuilder()?;
    builder.set_progress_callback(move |_, _, _| go_on())?;
    for (_, id) in &of.objects {
        builder.insert_object(*id, names.get(id).map(String::as_str))?;
    }
    let mut indexer = Indexer::new(None, &folder, 0o444, false)?;
    indexer.progress(move |_| go_on());
    let mut failed = None;
    let made = builder.foreach(|bytes| go_on() && indexer.write_all(bytes).map_err(|error| failed = Some(error)).is_ok());
    if let Some(error) = failed {
        return Err(error.into());
    }
    made?;
    let name = format!("pack-{}", indexer.commit()?);
    let odb = database(&new)?;
    // Each was digested anew while the index was written.
    if !of.objects.iter().all(|(_, id)| odb.exists_ext(*id, OdbLookupFlags::NO_REFRESH)) {
        return Err(Failed::Odd("the new pack lacks an object"));
    }
    for ending in ["pack", "idx"] {
        File::open(folder.join(&name).with_extension(ending))?.sync_all()?;
    }
    Ok(Written { folder, name, of })
}

impl Written {
    pub fn packs(&self) -> usize {
        self.of.packs.len()
    }

    pub fn objects(&self) -> usize {
        self.of.objects.len()
    }

    /// Found by everybody from now on; what it is made of goes. Whoever reads from an old pack has its file open, and whoever has only heard of one looks again.
    pub fn let_in(&self, objects: &Path, go_on: GoOn<'_>) -> io::Result<()> {
        let to = objects.join("pack");
        for ending in ["pack", "idx"] {
            let file = Path::new(&self.name).with_extension(ending);
            fs::rename(self.folder.join(&file), to.join(&file))?;
        }
        File::open(&to)?.sync_all()?;
        // One pack that is made of one can be the same.
        for pack in self.of.packs.iter().filter(|pack| !pack.is(&self.name)) {
            if !go_on() {
                return Ok(());
            }
            pack.remove()?;
        }
        Ok(())
    }

    /// The same of single objects. Nobody has to wait for it.
    pub fn remove_loose(&self, go_on: GoOn<'_>) -> io::Result<()> {
        for one in &self.of.loose {
            if !go_on() {
                return Ok(());
            }
            super::packs::gone(fs::remove_file(&one.path))?;
        }
        Ok(())
    }
}
