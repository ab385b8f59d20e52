//! The same stories for somebody else: whoever runs these tests as root also runs them as a user that no one is.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::registry::program;

const SOMEBODY: u32 = 54_322;

#[test]
fn as_an_ordinary_user_everything_holds_as_well() {
    if std::env::var_os("TIDEGATE_UNDER_TEST").is_some() {
        return; // This is the ordinary user already.
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = |from: &std::path::Path, name: &str| {
        let to = folder.path().join(name);
        std::fs::copy(from, &to).unwrap();
        to
    };
    let tests = copy(&std::env::current_exe().unwrap(), "images");
    let under_test = copy(&program(), "tidegate");
    let tmp = folder.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let mut command = Command::new(tests);
    command.env("TIDEGATE_UNDER_TEST", under_test).env("TMPDIR", &tmp).env("HOME", &tmp).current_dir(&tmp);
    // What can not run here is written down already.
    command.env_remove("TIDEGATE_TEST_SKIPS");
    if tidegate::adapters::sandbox::outer_uid().is_some() {
        chown(&tmp, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        command.uid(SOMEBODY).gid(SOMEBODY);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("running 0 tests"), "{text}");
}
