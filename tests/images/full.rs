//! A real engine whose disk is full: when an image comes, when a container is made, when a step writes. The engine is to blame, and nothing of ours stays there.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::builder::{Layer, busybox, image};
use crate::docker::OwnDocker;
use crate::engines;
use crate::registry::{registry, skip};
use crate::support::{Seen, World};

/// A small disk below a folder.
struct Disk(PathBuf);

impl Disk {
    fn make(place: PathBuf, size: &str) -> Self {
        std::fs::create_dir(&place).unwrap();
        let options = std::ffi::CString::new(format!("size={size},mode=0711")).unwrap();
        mount("tmpfs", &place, "tmpfs", MountFlags::empty(), options.as_c_str()).unwrap();
        Self(place)
    }

    /// Takes all that is left, but for so many bytes.
    fn fill(&self, but_for: u64) -> PathBuf {
        let file = self.0.join("filled by somebody else");
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        let bytes = disk.f_bavail * disk.f_frsize - but_for;
        std::fs::write(&file, vec![1; usize::try_from(bytes).unwrap()]).unwrap();
        file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn run(world: &World, socket: &Path, image: &str, script: &str) -> Seen {
    let file = format!(
        "name: full\non: {{ manual: {{}} }}\nsteps:\n  inside:\n    image: {image}\n    run: |\n      {script}\n    retry: {{ attempts: 1 }}\n"
    );
    world.write(".tidegate/full.yaml", &file);
    world.commit("Another");
    world.tidegate(&["run", "--executor", "container", "--engine", &socket.to_string_lossy()])
}

#[tokio::test]
async fn an_engine_whose_disk_is_full_is_to_blame_and_keeps_nothing_of_ours() {
    let test = "full::an_engine_whose_disk_is_full_is_to_blame_and_keeps_nothing_of_ours";
    if std::env::var_os("TIDEGATE_UNDER_TEST").is_some() {
        return skip(test, "an engine of its own needs root");
    }
    if engines::engine_or_skip("TIDEGATE_TEST_DOCKER", test).is_none() {
        return;
    }
    let Some(registry) = registry(test) else { return };
    let small = registry.name("small:1");
    let writable = Layer::default().entry(tar::EntryType::Directory, "var", "", 0o1777, &[]);
    registry.push("small:1", &image(&[busybox(), writable])).await;
    // Nothing that could be made smaller on its way.
    let noise: Vec<u8> = (0..6_000_000_u64).flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n << 17)).to_le_bytes()).collect();
    registry.push("large:1", &image(&[busybox(), Layer::default().file("noise", noise)])).await;

    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::make(folder.path().join("data"), "32m");
    let own = OwnDocker::start(folder.path());
    let (engine, socket) = (own.engine(), folder.path().join("docker.sock"));
    let world = World::with(&[("README", "")]);
    let full = |seen: Seen| {
        let seen = seen.expect(4).says("no room left on its disk; remove what is not needed (`docker system prune`)");
        assert!(seen.all().contains("infrastructure"), "{}", seen.all());
        assert_eq!(engines::objects(&engine), [""; 0]);
        assert_eq!(world.processes(), [""; 0]);
        assert_eq!(world.mounts(), [""; 0]);
        seen
    };

    let seen = full(run(&world, &socket, &registry.name("large:1"), "echo ran"));
    assert!(seen.all().contains("could not be pulled") && !seen.all().contains("│ ran"), "{}", seen.all());
    // What could not come has left nothing: there is room for one that fits.
    assert!(run(&world, &socket, &small, "echo ran").expect(0).all().contains("│ ran"));

    // While it writes: to the container's own files, which no quota of the step's is about.
    let seen = full(run(&world, &socket, &small, "echo began; dd if=/dev/zero of=/var/much bs=64k"));
    assert!(seen.all().contains("the step was told that no space is left"), "{}", seen.all());
    assert!(run(&world, &socket, &small, "echo ran").expect(0).all().contains("│ ran"));

    // What fails beside that is the step's own.
    let taken = disk.fill(4 << 20);
    run(&world, &socket, &small, "echo no space left on device; exit 3").expect(1).says("exited with 3");
    std::fs::remove_file(&taken).unwrap();

    // Before it is made.
    disk.fill(0);
    let seen = full(run(&world, &socket, &small, "echo ran"));
    assert!(!seen.all().contains("│ ran"), "{}", seen.all());
}
