//! The queue for room on this machine, over all processes that use one state folder.
//!
//! ```text
//! STATE/admission/lock        held for a moment by whoever looks or changes something; in it the number that was given last
//! STATE/admission/N.waits     somebody who waits, with what it needs room in …
//! STATE/admission/N.holds     … or has got it
//! ```
//! A ticket counts as long as somebody has its file locked: the process that drew it. When that is dead, one that holds room counts for as long as what began on
//! it lives (`life`, a file that is locked as long as anything of it lives): a step goes on without its tidegate, and so does its claim. Whatever counts no more
//! is removed by the next who looks. Who may begin is decided elsewhere.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{StateError, StateFolder};
use crate::model::settings::{Scope, Standing};

#[derive(Debug, Clone)]
pub struct Admission {
    folder: PathBuf,
}

/// A place in the queue, or room. A place is given up when it is dropped; room then stays taken for as long as what began on it lives.
#[derive(Debug)]
pub struct Ticket {
    number: u64,
    path: PathBuf,
    /// Holds the lock. Closed on exec, so that no child keeps a dead process's place.
    _lock: File,
    holds: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Paper {
    scopes: Vec<Scope>,
    life: PathBuf,
}

const WAITS: &str = "waits";
const HOLDS: &str = "holds";

impl Admission {
    pub fn open(state: &StateFolder) -> Result<Self, StateError> {
        Ok(Self { folder: state.folder("admission")? })
    }

    /// The right to look and to change something, until it is dropped. `None` when somebody else has it: it is never waited for, as a stopped process would
    /// stop everybody.
    pub fn turn(&self) -> io::Result<Option<Turn<'_>>> {
        let lock = File::options().create(true).truncate(false).read(true).write(true).open(self.folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Turn { folder: &self.folder, lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Nobody else looks or changes anything meanwhile.
#[derive(Debug)]
pub struct Turn<'a> {
    folder: &'a Path,
    lock: File,
}

impl Turn<'_> {
    /// Joins the queue at its end.
    pub fn draw(&mut self, scopes: &[Scope], life: &Path) -> io::Result<Ticket> {
        let number = self.next_number()?;
        let path = self.folder.join(format!("{number:020}.{WAITS}"));
        let mut file = File::create_new(&path)?;
        let mut drawn = || {
            file.lock()?;
            file.write_all(&serde_json::to_vec(&Paper { scopes: scopes.to_vec(), life: life.to_owned() })?)
        };
        if let Err(error) = drawn() {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Ticket { number, path, _lock: file, holds: false })
    }

    /// Everybody who counts.
    pub fn standing(&self) -> io::Result<Vec<Standing>> {
        let mut all = Vec::new();
        for (number, holds, path) in self.tickets()? {
            match read(&path, holds) {
                Ok(Some(Paper { scopes, .. })) => all.push(Standing { number, holds, scopes }),
                // Nobody's any more, or given back this moment.
                Ok(None) => drop(fs::remove_file(&path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// It has room now.
    pub fn take(&self, ticket: &mut Ticket) -> io::Result<()> {
        // The same file under another name: its lock stays.
        let held = ticket.path.with_extension(HOLDS);
        fs::rename(&ticket.path, &held)?;
        (ticket.path, ticket.holds) = (held, true);
        Ok(())
    }

    fn tickets(&self) -> io::Result<Vec<(u64, bool, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.folder)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let holds = path.extension().is_some_and(|extension| extension == HOLDS);
            if let Some(number) = number {
                found.push((number, holds, path));
            }
        }
        Ok(found)
    }

    /// Written down, so that it is not given again when its ticket is gone. What can not be read was cut off by a crash: then those who stand say what was given.
    fn next_number(&mut self) -> io::Result<u64> {
        let mut text = String::new();
        self.lock.seek(SeekFrom::Start(0))?;
        let _ = (&mut self.lock).take(32).read_to_string(&mut text);
        let written = text.trim().parse().unwrap_or(0);
        let next = self.tickets()?.into_iter().map(|(number, ..)| number).chain([written]).max().unwrap_or(0).saturating_add(1);
        self.lock.set_len(0)?;
        self.lock.seek(SeekFrom::Start(0))?;
        write!(self.lock, "{next}")?;
        Ok(next)
    }
}

impl Ticket {
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whoever had it needs it no more.
    pub fn give_back(mut self) {
        self.holds = false;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.holds {
            // What can not be removed counts no more all the same: nobody has it locked.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What it says, if it counts. One that is not to be read and locked all the same needs room nowhere.
fn read(path: &Path, holds: bool) -> io::Result<Option<Paper>> {
    let mut file = File::open(path)?;
    let owned = is_locked(&file)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let paper: Paper = match serde_json::from_slice(&text) {
        Ok(paper) => paper,
        Err(_) if owned => return Ok(Some(Paper { scopes: Vec::new(), life: PathBuf::new() })),
        Err(_) => return Ok(None),
    };
    let counts = owned
        || holds
            && match File::open(&paper.life) {
                Ok(life) => is_locked(&life)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(error),
            };
    Ok(counts.then_some(paper))
}

fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        _place: tempfile::TempDir,
        admission: Admission,
        life: PathBuf,
    }

    fn scene() -> Scene {
        let place = tempfile::tempdir().unwrap();
        let state = StateFolder::open(place.path().join("state")).unwrap();
        let life = place.path().join("life");
        fs::write(&life, "").unwrap();
        Scene { admission: Admission::open(&state).unwrap(), life, _place: place }
    }

    impl Scene {
        fn turn(&self) -> Turn<'_> {
            self.admission.turn().unwrap().expect("nobody else looks")
        }
        fn draw(&self) -> Ticket {
            self.turn().draw(&[Scope { name: "machine".to_owned(), limit: 1 }], &self.life).unwrap()
        }
        /// Number, and whether it holds room.
        fn standing(&self) -> Vec<(u64, bool)> {
            let mut all: Vec<_> = self.turn().standing().unwrap().into_iter().map(|one| (one.number, one.holds)).collect();
            all.sort_unstable();
            all
        }
        /// As a process that is killed leaves it: the lock is gone, the file is not.
        fn orphan(ticket: Ticket) {
            let (path, text) = (ticket.path.clone(), fs::read(&ticket.path).unwrap());
            drop(ticket);
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn numbers_go_up_and_are_never_given_twice() {
        let scene = scene();
        let first = scene.draw();
        let second = scene.draw();
        assert_eq!((first.number(), second.number()), (1, 2));
        assert_eq!(scene.standing(), [(1, false), (2, false)]);
        drop((first, second));
        assert_eq!(scene.standing(), []);
        let third = scene.draw();
        assert_eq!(third.number(), 3);
        fs::write(scene.admission.folder.join("lock"), "").unwrap();
        assert_eq!(scene.draw().number(), 4);
    }

    #[test]
    fn only_one_looks_at_a_time_and_nobody_waits_for_it() {
        let scene = scene();
        let turn = scene.turn();
        assert!(scene.admission.turn().unwrap().is_none());
        drop(turn);
        assert!(scene.admission.turn().unwrap().is_some());
    }

    #[test]
    fn who_waits_is_forgotten_with_its_process_and_who_holds_room_when_nothing_of_it_lives() {
        let scene = scene();
        let (waits, mut holds) = (scene.draw(), scene.draw());
        scene.turn().take(&mut holds).unwrap();
        assert_eq!(scene.standing(), [(1, false), (2, true)]);
        let life = File::open(&scene.life).unwrap();
        life.lock().unwrap();
        Scene::orphan(waits);
        drop(holds);
        assert_eq!(scene.standing(), [(2, true)]);
        drop(life);
        assert_eq!(scene.standing(), []);
        let mut given_back = scene.draw();
        scene.turn().take(&mut given_back).unwrap();
        given_back.give_back();
        assert_eq!(fs::read_dir(&scene.admission.folder).unwrap().count(), 1, "only the lock is left");
    }

    #[test]
    fn what_is_cut_off_is_nobodys() {
        let scene = scene();
        fs::write(scene.admission.folder.join("00000000000000000007.holds"), "{\"scopes\":[{").unwrap();
        fs::write(scene.admission.folder.join("notes.txt"), "").unwrap();
        assert_eq!(scene.draw().number(), 8);
        assert_eq!(scene.standing(), []);
    }
}
