//! Mirrors that have grown old are put in order, and nothing of them is lost, whatever happens meanwhile.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tidegate::adapters::source::Revision;
use tidegate::adapters::source::mirror::{Limits, MirrorError, Mirrors, Tidied};
use tidegate::model::id::CommitId;

use crate::mirror::{Scene, at, git, main_branch};
use crate::packs;

pub const SHOP: &str = "acme/shop";

/// Few are many.
pub fn few() -> Limits {
    Limits { packs: 5, loose: 5, ..Limits::default() }
}

pub fn tidy(mirrors: &Mirrors, limits: &Limits) -> Result<Tidied, MirrorError> {
    mirrors.tidy(SHOP, limits, &|| true)
}

pub fn folder(mirrors: &Mirrors) -> PathBuf {
    mirrors.source(SHOP).expect("a mirror").root().to_owned()
}

/// It and what is beside it.
pub fn folders(mirror: &Path) -> usize {
    let entries = fs::read_dir(mirror.parent().expect("mirrors")).expect("a folder");
    entries.filter(|entry| entry.as_ref().expect("an entry").path().is_dir()).count()
}

pub fn door(mirrors: &Mirrors, commit: &str) -> String {
    let source = mirrors.source(SHOP).expect("a mirror");
    String::from_utf8(source.read("door.txt", &Revision::Commit(CommitId::new(commit)), 99).expect("read")).expect("UTF-8")
}

/// A mirror with a commit that nothing leads to any more, and so many packs besides.
pub async fn grown(count: usize) -> (Scene, CommitId, Vec<String>) {
    let scene = Scene::new().await;
    let old = scene.commit("oak", "refs/heads/main");
    scene.fetch(at(&old), None).await.expect("fetched");
    git(&scene.place.path().join("work"), &["checkout", "-q", "--orphan", "other"]);
    let new = scene.commit("ash", "refs/heads/main");
    scene.fetch(at(&new), None).await.expect("fetched");
    let commits = packs::leave(&folder(&scene.mirrors), count);
    (scene, old, commits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_an_earlier_version_becomes_like_a_new_one_and_keeps_all_its_commits() {
    let (scene, old, _) = grown(0).await;
    let mirror = folder(&scene.mirrors);
    let new = git(&mirror, &["config", "--list", "--local"]);
    let commits = [old.to_string(), git(&mirror, &["rev-parse", "refs/tidegate/heads/main"])];
    for name in ["gc.auto", "gc.pruneExpire", "pack.windowMemory"] {
        git(&mirror, &["config", "--unset", name]);
    }
    git(&mirror, &["update-ref", &format!("refs/tidegate/commits/{old}"), old.as_str()]);
    git(&mirror, &["pack-refs", "--all"]);
    for commit in &commits {
        git(&mirror, &["update-ref", &format!("refs/tidegate/commits/{commit}"), commit]);
    }
    assert_eq!(tidy(&scene.mirrors, &Limits::default()).expect("tidied"), Tidied::Nothing);
    assert_eq!(git(&mirror, &["for-each-ref", "--format=%(refname)"]), "refs/tidegate/heads/main");
    assert_eq!(git(&mirror, &["config", "--list", "--local"]), new);
    git(&mirror, &["gc", "-q"]);
    let asked = scene.git.requests();
    for commit in &commits {
        assert_eq!(scene.fetch(at(&CommitId::new(commit)), None).await.expect("it is here").as_str(), commit);
    }
    assert_eq!(scene.git.requests(), asked, "nobody was asked");
    git(&mirror, &["config", "gc.auto", "7"]);
    tidy(&scene.mirrors, &Limits::default()).expect("tidied");
    assert_eq!(git(&mirror, &["config", "gc.auto"]), "7", "what somebody has set is theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_packs_become_one_and_what_nothing_leads_to_is_in_it() {
    let (scene, old, commits) = grown(12).await;
    let mirror = folder(&scene.mirrors);
    let (before, packs_before) = (packs::objects(&mirror), packs::packs(&mirror).len());
    assert_eq!(tidy(&scene.mirrors, &Limits::default()).expect("tidied"), Tidied::Nothing, "they are not many");
    // Somebody looks into the mirror all the while.
    let open = scene.mirrors.source(SHOP).expect("a mirror");
    let read = |commit: &str| open.read("door.txt", &Revision::Commit(CommitId::new(commit)), 99).expect("read");
    assert_eq!(read(&commits[3]), b"door 3 of 12\n");
    assert_eq!(tidy(&scene.mirrors, &few()).expect("tidied"), Tidied::Packed { packs: packs_before, objects: before.len() });
    assert_eq!(packs::packs(&mirror).len(), 1);
    assert_eq!(packs::objects(&mirror), before);
    for (number, commit) in commits.iter().enumerate() {
        assert_eq!((read(commit), door(&scene.mirrors, commit)), (format!("door {number} of 12\n").into_bytes(), format!("door {number} of 12\n")));
    }
    let asked = scene.git.requests();
    assert_eq!(scene.fetch(at(&old), None).await.expect("it is here"), old);
    assert_eq!(scene.git.requests(), asked, "nobody was asked");
    assert_eq!(tidy(&scene.mirrors, &few()).expect("tidied"), Tidied::Nothing);
    let next = scene.commit("elm", "refs/heads/main");
    assert_eq!(scene.fetch(main_branch(), None).await.expect("fetched"), next);
    assert_eq!(door(&scene.mirrors, next.as_str()), "elm");
    assert_eq!(folders(&mirror), 1, "nothing is left beside it");
}

/// Whoever cleans up with git's own tools has what nothing leads to in files of their own.
#[tokio::test(flavor = "multi_thread")]
async fn objects_in_files_of_their_own_are_packed_as_well() {
    let (scene, _, commits) = grown(8).await;
    let mirror = folder(&scene.mirrors);
    let before = packs::objects(&mirror);
    git(&mirror, &["-c", "gc.cruftPacks=false", "gc", "-q"]);
    let loose = || git(&mirror, &["count-objects"]).split(' ').next().map(str::to_owned);
    assert_ne!(loose().as_deref(), Some("0"));
    assert!(matches!(tidy(&scene.mirrors, &few()).expect("tidied"), Tidied::Packed { .. }));
    assert_eq!((loose().as_deref(), packs::packs(&mirror).len(), packs::objects(&mirror)), (Some("0"), 1, before));
    assert_eq!(door(&scene.mirrors, &commits[7]), "door 7 of 8\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_that_are_large_damaged_or_wanted_by_somebody_stay_as_they_are() {
    let (scene, ..) = grown(9).await;
    let mirror = folder(&scene.mirrors);
    let small = packs::packs(&mirror);
    File::create(small[0].with_extension("keep")).expect("kept");
    let whole = fs::read(&small[1]).expect("an index");
    fs::remove_file(&small[1]).expect("removed");
    fs::write(&small[1], &whole[..whole.len() / 2]).expect("damaged");
    // Ten million zeros are ten kilobytes in a pack.
    let add = |bytes: &[u8]| {
        let known = packs::packs(&mirror);
        fs::write(mirror.join("large"), bytes).expect("written");
        let id = git(&mirror, &["hash-object", "-w", "--no-filters", "large"]);
        fs::write(mirror.join("large"), format!("{id}\n")).expect("written");
        let packed = Command::new("sh")
            .current_dir(&mirror)
            .args(["-c", "git pack-objects -q objects/pack/pack <large && rm large && git prune-packed"])
            .output();
        assert!(packed.expect("git").status.success());
        packs::packs(&mirror).into_iter().find(|pack| !known.contains(pack)).expect("a new pack")
    };
    let inflated = add(&vec![0; 10_000_000]);
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(100_000).collect();
    let large = add(&noise);
    let limits = Limits { object: 5_000_000, pack: 50_000, ..few() };
    let packed = tidy(&scene.mirrors, &limits).expect("tidied");
    assert!(matches!(packed, Tidied::Packed { packs: 9, .. }), "{packed:?}");
    let left = packs::packs(&mirror);
    assert!([&small[0], &small[1], &inflated, &large].iter().all(|pack| left.contains(pack)), "{left:?}");
    assert_eq!(left.len(), 5);
    // An index over all of them would name what is gone.
    fs::remove_file(small[0].with_extension("keep")).expect("let go");
    fs::write(&small[1], whole).expect("mended");
    packs::leave(&mirror, 7);
    git(&mirror, &["multi-pack-index", "write"]);
    assert_eq!(tidy(&scene.mirrors, &few()).expect("tidied"), Tidied::Nothing);
}

/// They would be gone over again and again, and never become one.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_damaged_keeps_only_its_own_pack_as_it_is() {
    let (scene, _, commits) = grown(9).await;
    let mirror = folder(&scene.mirrors);
    let holds = |pack: &Path| git(&mirror, &["verify-pack", "-v", pack.to_str().expect("UTF-8")]).contains(&commits[4]);
    let damaged = packs::packs(&mirror).into_iter().find(|pack| holds(pack)).expect("a pack");
    // What will be damaged there is whole in another one, which is older.
    let again = format!("git rev-list --objects {} | git pack-objects -q objects/pack/pack", commits[4]);
    assert!(Command::new("sh").current_dir(&mirror).args(["-c", &again]).output().expect("git").status.success());
    let before = packs::packs(&mirror);
    let file = damaged.with_extension("pack");
    let mut bytes = fs::read(&file).expect("a pack");
    bytes[30] ^= 0xff;
    fs::remove_file(&file).expect("removed");
    fs::write(&file, bytes).expect("damaged");
    let newest = SystemTime::now() + Duration::from_secs(3_600);
    File::options().append(true).open(&file).and_then(|file| file.set_modified(newest)).expect("touched");
    // No tree, whatever it says; and no object, whatever its name says.
    fs::write(mirror.join("odd"), "no tree").expect("written");
    let odd = git(&mirror, &["hash-object", "-w", "-t", "tree", "--literally", "odd"]);
    let path = |id: &str| mirror.join("objects").join(&id[..2]).join(&id[2..]);
    let wrong = odd.chars().rev().collect::<String>();
    fs::create_dir_all(path(&wrong).parent().expect("a folder")).expect("made");
    fs::copy(path(&odd), path(&wrong)).expect("copied");
    let packed = tidy(&scene.mirrors, &few()).expect("tidied");
    assert!(matches!(packed, Tidied::Packed { packs, .. } if packs == before.len() - 1), "{packed:?}");
    let left = packs::packs(&mirror);
    assert!(left.len() == 2 && left.contains(&damaged), "{left:?}");
    assert!(!path(&odd).exists() && path(&wrong).exists());
    assert_eq!(git(&mirror, &["cat-file", "-t", &odd]), "tree");
    for (number, commit) in commits.iter().enumerate().filter(|(number, _)| *number != 4) {
        assert_eq!(door(&scene.mirrors, commit), format!("door {number} of 9\n"));
    }
    assert_eq!(tidy(&scene.mirrors, &few()).expect("tidied"), Tidied::Nothing);
}

/// Also when something fails: they would read for ever.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// With what was open before, and with what is opened anew.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_all_the_while_misses_nothing() {
    let (scene, _, commits) = grown(8).await;
    let (mirror, over) = (folder(&scene.mirrors), AtomicBool::new(false));
    let read_on = || {
        let mut open = scene.mirrors.source(SHOP).expect("a mirror");
        let mut read = 0;
        while !over.load(Ordering::SeqCst) || read < 20 {
            let number = read % commits.len();
            let revision = Revision::Commit(CommitId::new(commits[number].as_str()));
            assert_eq!(open.read("door.txt", &revision, 99).expect("it is there"), format!("door {number} of 8\n").into_bytes());
            read += 1;
            if read % 50 == 0 {
                open = scene.mirrors.source(SHOP).expect("a mirror");
            }
        }
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(read_on), scope.spawn(read_on)];
        let end = End(&over);
        for round in 0..6 {
            // None of them is there already.
            packs::leave(&mirror, 10 + round);
            assert!(matches!(tidy(&scene.mirrors, &few()).expect("tidied"), Tidied::Packed { .. }));
        }
        drop(end);
        readers.into_iter().for_each(|reader| reader.join().expect("it missed nothing"));
    });
}

/// Goes on until it is asked for the so manieth time; then it says so, and waits.
struct Stop {
    at: usize,
    asked: AtomicUsize,
    reached: SyncSender<()>,
    go: Mutex<Receiver<()>>,
}

impl Stop {
    fn go_on(&self) -> bool {
        if self.asked.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            self.reached.send(()).expect("somebody waits");
            self.go.lock().expect("nobody panicked").recv().expect("somebody says so");
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_waits_for_nobody_who_writes_packs_and_one_process_does_it() {
    let (scene, old, commits) = grown(12).await;
    let mirror = folder(&scene.mirrors);
    let (reached, wait) = sync_channel(1);
    let (say, go) = sync_channel(1);
    let stop = Arc::new(Stop { at: 85, asked: AtomicUsize::new(0), reached, go: Mutex::new(go) });
    let (mirrors, asked) = (scene.mirrors.clone(), stop.clone());
    let tidying = tokio::task::spawn_blocking(move || mirrors.tidy(SHOP, &few(), &|| asked.go_on()));
    tokio::task::spawn_blocking(move || wait.recv()).await.expect("it returns").expect("it is reached");
    let beside = fs::read_dir(mirror.parent().expect("mirrors")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let beside: Vec<PathBuf> = beside.filter(|path| path.to_string_lossy().ends_with(".packing")).collect();
    assert!(beside.len() == 1 && beside[0].join("new/pack").is_dir(), "it writes: {beside:?}");

    let next = scene.commit("elm", "refs/heads/main");
    assert_eq!(scene.fetch(main_branch(), None).await.expect("fetched"), next);
    assert_eq!(tidy(&scene.mirrors, &few()).expect("tidied"), Tidied::Nothing, "somebody else is at it");
    say.send(()).expect("it waits");
    assert!(matches!(tidying.await.expect("it returns").expect("tidied"), Tidied::Packed { .. }));
    assert_eq!(packs::packs(&mirror).len(), 2, "and what came meanwhile");
    for (commit, text) in [(old.as_str(), "oak"), (next.as_str(), "elm"), (&commits[11], "door 11 of 12\n")] {
        assert_eq!(door(&scene.mirrors, commit), text);
    }
    packs::objects(&mirror);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_when_it_is_told_to_and_when_it_takes_too_long() {
    let (scene, ..) = grown(12).await;
    let mirror = folder(&scene.mirrors);
    let before = (packs::packs(&mirror), packs::objects(&mirror));
    for at in [1, 5, 40, 85] {
        let asked = AtomicUsize::new(0);
        let stopped = scene.mirrors.tidy(SHOP, &few(), &|| asked.fetch_add(1, Ordering::SeqCst) + 1 < at);
        assert_eq!(stopped.expect("no error"), Tidied::Stopped);
    }
    let error = tidy(&scene.mirrors, &Limits { time: Duration::ZERO, ..few() }).expect_err("too long");
    assert_eq!(error.to_string(), "the mirror of acme/shop can not be used: its packs could not be put together within 0 s");
    assert_eq!((packs::packs(&mirror), packs::objects(&mirror)), before);
    assert_eq!(folders(&mirror), 1, "nothing is left beside it");
}
