//! Docker's engine as it comes: the json-file driver, an image with nothing but busybox.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Docker {
    piece: PathBuf,
    counter: AtomicU32,
}

const IMAGE: &str = "tidegate-bench-busybox";

fn quiet(arguments: &[&str]) -> bool {
    Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl Docker {
    pub fn find(piece: &Path) -> Result<Self, String> {
        if !quiet(&["version"]) {
            return Err("no daemon answers (install docker.io and start `dockerd`)".to_owned());
        }
        if !quiet(&["image", "inspect", IMAGE]) {
            import().map_err(|error| format!("its image could not be made ({error}): install busybox-static"))?;
        }
        Ok(Self { piece: piece.to_owned(), counter: AtomicU32::new(0) })
    }

    fn name(&self) -> String {
        format!("tidegate-bench-{}-{}", std::process::id(), self.counter.load(Ordering::Relaxed))
    }

    /// What it says goes to the file, and to the daemon's log. The container stays, for `logs`.
    pub fn run(&self, shown: &Path) {
        self.counter.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new("docker");
        command.args(["run", "--network", "none", "--name", &self.name(), "--volume"]).arg(format!("{}:/piece:ro", self.piece.display()));
        command.args([IMAGE, "/busybox", "cat", "/piece"]).stdin(Stdio::null()).stdout(File::create(shown).expect("a file"));
        assert!(command.status().expect("docker").success());
    }

    /// The log of the last one, which is then removed.
    pub fn logs(&self, shown: &Path) {
        let mut command = Command::new("docker");
        command.args(["logs", &self.name()]).stdin(Stdio::null()).stdout(File::create(shown).expect("a file"));
        assert!(command.status().expect("docker").success());
        assert!(quiet(&["rm", "--force", &self.name()]));
    }
}

/// An archive of one file, by tar.
fn import() -> std::io::Result<()> {
    let archive = Command::new("tar").args(["--create", "--dereference", "--directory", "/bin", "busybox"]).output()?;
    let mut import = Command::new("docker").args(["import", "-", IMAGE]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    import.stdin.take().map_or(Ok(()), |mut into| into.write_all(&archive.stdout))?;
    if archive.status.success() && import.wait()?.success() { Ok(()) } else { Err(std::io::Error::other("tar, or docker import")) }
}
