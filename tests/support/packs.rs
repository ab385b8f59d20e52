//! Packs as fetches leave them, one for each commit, by git itself.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn git(mirror: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(mirror).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

/// So many commits, each in a pack of its own, with a file `door.txt` that says which one it is. No reference leads to them in the end. The oldest first.
pub fn leave(mirror: &Path, count: usize) -> Vec<String> {
    let mut commits = Vec::new();
    for number in 0..count {
        let said = format!("door {number} of {count}\n");
        let mut child = git(mirror).args(["-c", "fastimport.unpackLimit=1", "fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().expect("git");
        let mut input = child.stdin.take().expect("its input");
        let before = commits.last().map(|commit: &String| format!("from {commit}\n")).unwrap_or_default();
        let length = said.len();
        let stream = format!(
            "commit refs/heads/left\ncommitter Ada <ada@example.com> {} +0000\ndata {length}\n{said}{before}M 100644 inline door.txt\ndata {length}\n{said}\n",
            1_700_000_000 + number
        );
        input.write_all(stream.as_bytes()).expect("written");
        drop(input);
        assert!(child.wait().expect("it ends").success());
        let head = std::fs::read_to_string(mirror.join("refs/heads/left")).expect("a reference");
        commits.push(head.trim().to_owned());
        std::fs::remove_file(mirror.join("refs/heads/left")).expect("removed");
    }
    commits
}

/// Those that are found: with an index.
pub fn packs(mirror: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(mirror.join("objects/pack")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut packs: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "idx")).collect();
    packs.sort();
    packs
}

/// All that is there, whether anything leads to it or not; looked through by git.
pub fn objects(mirror: &Path) -> Vec<String> {
    let fsck = git(mirror).args(["fsck", "--full", "--no-dangling", "--no-progress"]).output().expect("git");
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stderr));
    let listed = git(mirror).args(["cat-file", "--batch-all-objects", "--batch-check"]).output().expect("git");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
}
