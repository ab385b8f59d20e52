//! The same stories for somebody else: whoever runs a test binary as root also runs a copy of it as a user that no one is.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOMEBODY: u32 = 54_321;

/// The binary under test. The story of the ordinary user runs from a copy.
pub fn program() -> PathBuf {
    std::env::var_os("TIDEGATE_UNDER_TEST").map_or_else(|| env!("CARGO_BIN_EXE_tidegate").into(), PathBuf::from)
}

/// Runs this test binary's stories with these arguments again, as an ordinary user.
pub fn again_as_an_ordinary_user(arguments: &[&str]) {
    if std::env::var_os("TIDEGATE_UNDER_TEST").is_some() {
        return; // This is the ordinary user already.
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = |from: &Path, name: &str| {
        let to = folder.path().join(name);
        std::fs::copy(from, &to).unwrap();
        to
    };
    let tests = copy(&std::env::current_exe().unwrap(), "tests");
    let under_test = copy(&program(), "tidegate");
    let tmp = folder.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    // Where it is may be closed to him.
    let archive = std::env::var_os("TIDEGATE_TEST_SERVICES").map(|archive| copy(Path::new(&archive), "services.tar"));
    // His own list: who runs all tests counts what root skips.
    let skips = tmp.join("skips");
    std::fs::write(&skips, "").unwrap();
    let mut command = Command::new(tests);
    command
        .args(arguments)
        .env("TIDEGATE_UNDER_TEST", under_test)
        .env("TIDEGATE_TEST_SKIPS", &skips)
        .env("TMPDIR", &tmp)
        .env("HOME", &tmp)
        .current_dir(&tmp);
    if let Some(archive) = archive {
        command.env("TIDEGATE_TEST_SERVICES", archive);
    }
    if tidegate::adapters::sandbox::outer_uid().is_some() {
        [&tmp, &skips].iter().for_each(|path| chown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap());
        command.uid(SOMEBODY).gid(SOMEBODY);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("running 0 tests"), "{text}");
    // What needs root has been told by root; nothing else is left out.
    let skipped = std::fs::read_to_string(&skips).unwrap();
    assert!(skipped.lines().all(|line| line.contains("needs root") || line.contains("are not here")), "{skipped}");
}
