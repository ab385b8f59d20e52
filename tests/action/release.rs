//! What the workflow of a release would publish is what the action's script takes: the same scripts, run here, with a mirror on this machine between them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::install::{Mirror, digest, install};
use crate::rig::action;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn script(arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/release.sh");
    // The program of a test is built where the C library is newer than that of a release.
    Command::new(script).args(arguments).env("TIDEGATE_RELEASE_GLIBC", "999").output().unwrap()
}

#[track_caller]
fn works(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn refuses(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(why), "expected {why:?}: {said}");
}

/// A release as the workflow makes it, and the folder that it is in.
fn release(mirror: &Mirror, program: &Path) -> (PathBuf, String) {
    let folder = mirror.folder.path().join(format!("v{VERSION}"));
    let (tag, place) = (format!("v{VERSION}"), folder.display().to_string());
    works(&script(&["pack", &program.display().to_string(), &tag, &place]));
    works(&script(&["sums", &tag, &place, std::env::consts::ARCH]));
    (folder, tag)
}

#[test]
fn what_is_published_is_what_is_installed() {
    let mirror = Mirror::new();
    let (folder, tag) = release(&mirror, Path::new(env!("CARGO_BIN_EXE_tidegate")));
    let get = |gh| install(&mirror.url, &action().join("install.sh"), &[("VERSION", tag.as_str())], gh);
    get(Some(true)).works();
    // Nobody has signed it, or nobody can be asked.
    get(Some(false)).refused("gh does not confirm");
    get(None).refused("gh is not on this runner");
    let archive = folder.join(mirror.archive());
    let first = digest(&archive);
    std::fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    works(&script(&["pack", env!("CARGO_BIN_EXE_tidegate"), &tag, &folder.display().to_string()]));
    assert_eq!(digest(&archive), first, "the same program is the same archive");
    let listed = Command::new("tar").arg("-tzvf").arg(&archive).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().all(|line| line.contains(" 0/0 ")), "{listed}");
    for name in ["tidegate", "LICENSE-MIT", "systemd/tidegate.service", "systemd/tidegate.socket", "systemd/tidegate-gateway.socket"] {
        assert!(listed.lines().any(|line| line.ends_with(&format!(" {name}"))), "{name}: {listed}");
    }
    works(&script(&["sums", &tag, &folder.display().to_string(), std::env::consts::ARCH]));

    // Another archive under its name, and the digest of another.
    let whole = std::fs::read(&archive).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, &bytes).unwrap();
    get(Some(true)).refused("is not what it should be");
    std::fs::write(&archive, &whole).unwrap();
    std::fs::write(folder.join("SHA256SUMS"), format!("{}  {}\n", "0".repeat(64), mirror.archive())).unwrap();
    get(Some(true)).refused("is not what it should be");
    std::fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    get(Some(true)).refused("can not be downloaded");
}

/// An old program, with a checksum that fits: somebody has put an old release in the place of the new one.
#[test]
fn an_older_version_does_not_stand_in_for_the_one_that_is_asked_for() {
    let mirror = Mirror::new();
    let folder = mirror.path("");
    std::fs::create_dir_all(&folder).unwrap();
    let old = mirror.folder.path().join("tidegate");
    std::fs::write(&old, "#!/bin/sh\necho tidegate 0.0.9\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let packed = Command::new("tar").arg("-czf").arg(mirror.path(&mirror.archive())).arg("-C").arg(mirror.folder.path()).arg("tidegate").status();
    assert!(packed.unwrap().success());
    let sums = format!("{}  {}\n", digest(&mirror.path(&mirror.archive())), mirror.archive());
    std::fs::write(mirror.path("SHA256SUMS"), sums).unwrap();
    install(&mirror.url, &action().join("install.sh"), &[], Some(true)).refused("says that it is tidegate 0.0.9, and 0.1.0 was asked for");
}

#[test]
fn what_is_no_release_is_not_packed() {
    let place = tempfile::tempdir().unwrap();
    let (program, folder) = (env!("CARGO_BIN_EXE_tidegate"), place.path().display().to_string());
    refuses(&script(&["pack", program, "v9.9.9", &folder]), "the tag is v9.9.9, and the program says that it is tidegate");
    for tag in ["0.1.0", "v1", "v1.2.3/../../x", "v1.2.3\nx", "v1.2.3;id"] {
        refuses(&script(&["pack", program, tag, &folder]), "expected a tag such as v1.2.3");
    }
    refuses(&script(&["pack", "/etc/passwd", "v0.1.0", &folder]), "is not a program of Linux");
    let newer = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/release.sh"))
        .args(["pack", program, &format!("v{VERSION}"), &folder])
        .env("TIDEGATE_RELEASE_GLIBC", "2.2")
        .output()
        .unwrap();
    refuses(&newer, "build it where it is 2.2 or older");
    // An architecture that is missing, and something that nobody has asked for.
    std::fs::write(place.path().join("tidegate-0.1.0-x86_64-linux.tar.gz"), "").unwrap();
    refuses(
        &script(&["sums", "v0.1.0", &folder, "x86_64", "aarch64"]),
        "expected tidegate-0.1.0-x86_64-linux.tar.gz tidegate-0.1.0-aarch64-linux.tar.gz",
    );
    std::fs::write(place.path().join("more"), "").unwrap();
    refuses(&script(&["sums", "v0.1.0", &folder, "x86_64"]), "found more tidegate-0.1.0-x86_64-linux.tar.gz");
}
