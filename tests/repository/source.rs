//! What Tidegate says about a repository, and about what is none.

use std::path::Path;

use tidegate::adapters::source::{Dirty, Revision, Source, SourceError};

use crate::git::Repository;

#[test]
fn a_commit_is_described_without_its_control_characters() {
    let repository = Repository::with(&[("a", "1"), ("folder/b", "2")]);
    repository.write(&[("folder/b", "3"), ("c", "4")]);
    repository.commit("Second \u{1b}]0;title\u{7} line\n\nbody");
    repository.git(&["remote", "add", "origin", "https://token@example.com/acme/shop.git"]);
    let source = Source::discover(&repository.path().join("folder")).unwrap();
    let head = source.head().unwrap();
    assert_eq!(head.commit.as_str(), repository.git(&["rev-parse", "HEAD"]));
    assert_eq!((head.branch.as_deref(), head.reference.as_str()), (Some("main"), "refs/heads/main"));
    assert_eq!((head.subject.as_str(), head.author.as_str()), ("Second \u{fffd}]0;title\u{fffd} line", "Ada\u{fffd}[31m"));
    assert_eq!(head.changed, Some(vec!["c".to_owned(), "folder/b".to_owned()]));
    assert_eq!(source.name(), "acme/shop");
    repository.git(&["checkout", "--quiet", "--detach"]);
    let head = source.head().unwrap();
    assert_eq!((head.branch, head.reference.as_str()), (None, ""));
}

#[test]
fn what_is_no_repository_and_what_has_no_commit_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let text = |error: SourceError| error.to_string();
    assert_eq!(
        text(Source::discover(&path).unwrap_err()),
        format!("not a git repository: {}; run `git init` and commit something, or name another folder with -C DIR", path.display())
    );
    assert!(text(Source::discover(&path.join("missing")).unwrap_err()).contains("missing can not be opened: No such file"));
    let empty = Repository::empty();
    let error = text(Source::discover(empty.path()).unwrap().head().unwrap_err());
    assert!(error.ends_with("has no commit yet: commit something first (`git add … && git commit`)"), "{error}");
}

#[test]
fn a_repository_of_somebody_else_is_named_as_the_reason() {
    let repository = Repository::with(&[("a", "1")]);
    if rustix::process::geteuid().is_root() {
        // Only root can give something away; anybody else's own repositories are all that there are to test with.
        std::os::unix::fs::chown(repository.path(), Some(54_321), Some(54_321)).unwrap();
        std::os::unix::fs::chown(repository.path().join(".git"), Some(54_321), Some(54_321)).unwrap();
        let error = Source::discover(repository.path()).unwrap_err();
        assert!(matches!(error, SourceError::NotYours(_)), "{error}");
        assert!(error.to_string().contains("git config --global --add safe.directory"));
    } else {
        assert!(Source::discover(repository.path()).is_ok());
    }
}

#[test]
fn uncommitted_changes_are_counted() {
    let repository = Repository::with(&[("a", "1"), ("b", "2"), (".gitignore", "*.log\n")]);
    let source = Source::discover(repository.path()).unwrap();
    assert!(source.dirty().unwrap().is_clean());
    repository.write(&[("a", "changed"), ("new/x", "1"), ("new/y", "2"), ("added", "3"), ("noise.log", "4")]);
    repository.git(&["add", "added"]);
    std::fs::remove_file(repository.path().join("b")).unwrap();
    let dirty = source.dirty().unwrap();
    assert_eq!(dirty, Dirty { modified: 1, added: 1, deleted: 1, untracked: 2 });
    assert_eq!(dirty.to_string(), "1 modified, 1 added, 1 deleted, 2 untracked");
}

#[test]
fn single_files_are_read_from_the_commit_or_from_the_working_tree() {
    let repository = Repository::with(&[(".tidegate/b.yaml", "committed"), (".tidegate/a.yaml", "1"), (".tidegate/deeper/c.yaml", "2")]);
    std::os::unix::fs::symlink("/etc/passwd", repository.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", repository.path().join("etc")).unwrap();
    repository.commit("Links");
    repository.write(&[(".tidegate/b.yaml", "edited")]);
    let source = Source::discover(repository.path()).unwrap();
    let commit = Revision::Commit(source.head().unwrap().commit);
    let read = |path: &str, revision: &Revision| source.read(path, revision, 10).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(read(".tidegate/b.yaml", &commit).unwrap(), "committed");
    assert_eq!(read("./.tidegate/b.yaml", &Revision::Worktree).unwrap(), "edited");
    for revision in [&commit, &Revision::Worktree] {
        assert_eq!(source.list(".tidegate", revision).unwrap(), ["a.yaml", "b.yaml"]);
        assert_eq!(source.list("missing", revision).unwrap(), Vec::<String>::new());
        assert!(matches!(read("missing", revision), Err(SourceError::NoFile { .. })));
        for outside in ["../x", "/etc/passwd", "", ".git/config", ".GIT/config"] {
            assert!(matches!(read(outside, revision), Err(SourceError::Outside { .. })), "{outside}");
        }
        for special in ["link", ".tidegate"] {
            assert!(matches!(read(special, revision), Err(SourceError::NotAFile { .. })), "{special}");
        }
        assert!(read("etc/passwd", revision).is_err());
        assert!(matches!(source.read(".tidegate/b.yaml", revision, 3), Err(SourceError::TooLong { limit: 3, .. })));
    }
    let relative = |from: &str, path: &str| source.relative(&source.root().join(from), Path::new(path));
    assert_eq!(relative(".tidegate", "b.yaml").unwrap(), ".tidegate/b.yaml");
    assert_eq!(relative(".tidegate", "../.tidegate/b.yaml").unwrap(), ".tidegate/b.yaml");
    assert!(relative("", "../elsewhere.yaml").is_err());
}
