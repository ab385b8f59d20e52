//! Snapshots, scratch space and what is swept.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tidegate::adapters::workspace::{Store, WorkspaceError};
use tidegate::model::id::CommitId;

use crate::git::Repository;

fn store(state: &Path) -> Store {
    Store::open(state, None).unwrap()
}

fn head(repository: &Repository) -> CommitId {
    CommitId::new(repository.git(&["rev-parse", "HEAD"]))
}

#[test]
fn a_snapshot_is_the_commit_and_is_written_once() {
    let repository = Repository::with(&[("src/main", "code"), ("run.sh", "#!/bin/sh\n")]);
    fs::set_permissions(repository.path().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../../outside", repository.path().join("link")).unwrap();
    repository.commit("Modes");
    let state = tempfile::tempdir().unwrap();
    let store = store(state.path());
    let snapshot = store.snapshot(repository.path(), &head(&repository)).unwrap();
    assert_eq!(fs::read_to_string(snapshot.path.join("src/main")).unwrap(), "code");
    assert_eq!(fs::metadata(snapshot.path.join("run.sh")).unwrap().mode() & 0o777, 0o755);
    assert_eq!(fs::read_link(snapshot.path.join("link")).unwrap(), Path::new("../../outside"));
    assert!(!snapshot.path.join(".git").exists());

    let first = fs::metadata(snapshot.path.join("src/main")).unwrap().ino();
    repository.commit("The same tree under another commit");
    let again = store.snapshot(repository.path(), &head(&repository)).unwrap();
    assert_eq!((&again, fs::metadata(again.path.join("src/main")).unwrap().ino()), (&snapshot, first));
}

#[test]
fn a_submodule_is_noted_and_not_there() {
    let inner = Repository::with(&[("x", "1")]);
    let repository = Repository::with(&[("a", "1")]);
    let link = format!("160000,{},lib/inner", head(&inner).as_str());
    repository.git(&["update-index", "--add", "--cacheinfo", &link]);
    repository.git(&["commit", "--quiet", "--message", "Submodule"]);
    let state = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let snapshot = store(state.path()).snapshot(repository.path(), &head(&repository)).unwrap();
        assert_eq!(snapshot.submodules, ["lib/inner"]);
        assert!(!snapshot.path.join("lib/inner").exists());
    }
}

#[test]
fn a_tree_with_names_that_no_file_can_have_is_refused() {
    let repository = Repository::with(&[("a", "1")]);
    let blob = repository.git(&["rev-parse", "HEAD:a"]);
    let raw: Vec<u8> = (0..20).map(|n| u8::from_str_radix(&blob[2 * n..2 * n + 2], 16).unwrap()).collect();
    for name in ["..", ".git", "x/../../y", ".GIT"] {
        let entry = [format!("100644 {name}\0").as_bytes(), &raw].concat();
        let tree = repository.git_with(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &entry);
        let commit = CommitId::new(repository.git(&["commit-tree", &tree, "-m", "hostile"]));
        let state = tempfile::tempdir().unwrap();
        let error = store(state.path()).snapshot(repository.path(), &commit).unwrap_err();
        assert!(matches!(error, WorkspaceError::UnsafeName(_) | WorkspaceError::Git(_)), "{name}: {error}");
        assert!(!state.path().join("y").exists());
    }
}

#[test]
fn the_working_tree_is_taken_as_it_is_without_what_git_ignores() {
    let repository = Repository::with(&[("kept", "1"), ("gone", "2"), ("folder/file", "3"), (".gitignore", "target/\n")]);
    repository.write(&[("kept", "edited"), ("new/file", "4"), ("target/junk", "5")]);
    fs::remove_file(repository.path().join("gone")).unwrap();
    // A tracked folder became a link that leads out: the link is taken, nothing behind it.
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "secret").unwrap();
    fs::remove_dir_all(repository.path().join("folder")).unwrap();
    symlink(outside.path(), repository.path().join("folder")).unwrap();
    let state = tempfile::tempdir().unwrap();
    let store = store(state.path());
    let scratch = store.snapshot_worktree(repository.path()).unwrap();
    let tree = scratch.path().join("tree");
    assert_eq!(fs::read_to_string(tree.join("kept")).unwrap(), "edited");
    assert_eq!(fs::read_to_string(tree.join("new/file")).unwrap(), "4");
    assert!(!tree.join("gone").exists() && !tree.join("target").exists() && !tree.join(".git").exists());
    assert!(fs::symlink_metadata(tree.join("folder")).unwrap().is_symlink());
    drop(scratch);
    assert!(!tree.exists());
}

#[test]
fn what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_not() {
    let state = tempfile::tempdir().unwrap();
    let living = store(state.path());
    let scratch = living.scratch().unwrap();
    fs::write(scratch.path().join("mine"), "1").unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "workspace::the_victim", "--ignored", "--nocapture"])
        .env("VICTIM", state.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(victim.stdout.take().unwrap()));
    assert!(lines.map_while(Result::ok).any(|line| line.contains("the victim has written")));
    let process_folders = || fs::read_dir(state.path().join("scratch")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(living.sweep().unwrap().processes, 0, "the victim lives");
    victim.kill().unwrap();
    victim.wait().unwrap();
    let swept = living.sweep().unwrap();
    assert_eq!((swept.processes, swept.files, process_folders()), (1, 2, 1));
    assert!(scratch.path().join("mine").exists());
}

#[test]
#[ignore = "is started by the story above, to be killed"]
fn the_victim() {
    let state = std::env::var_os("VICTIM").unwrap();
    let store = store(Path::new(&state));
    let scratch = store.scratch().unwrap();
    fs::write(scratch.path().join("half"), "written").unwrap();
    println!("the victim has written");
    loop {
        std::thread::park();
    }
}

#[test]
fn snapshots_of_another_boot_are_not_trusted() {
    let state = tempfile::tempdir().unwrap();
    let old = state.path().join("snapshots/another-boot/0123");
    fs::create_dir_all(&old).unwrap();
    store(state.path()).sweep().unwrap();
    assert!(!old.exists());
}
