//! What one invocation leaves for the next, and what the caller has open or holds that must not come along.

use std::process::Command;

use tidegate::adapters::sandbox::{Bind, Protection};

use crate::support::{Scene, attacks, give, program};

/// The same two scripts, one after the other, in two sandboxes; what the second says.
async fn one_after_the_other(change: impl Fn(&mut Scene), first: &str, second: &str) -> String {
    let mut said = String::new();
    for script in [first, second] {
        let mut scene = Scene::new();
        change(&mut scene);
        said = scene.python(script).await.text;
    }
    said
}

#[tokio::test]
async fn files_left_in_tmp_and_in_shared_memory() {
    for place in ["/tmp", "/dev/shm"] {
        let shared = tempfile::tempdir().unwrap();
        give(shared.path());
        let (first, second) = (format!("open('{place}/left', 'w').write('x')"), format!("attempt(lambda: os.stat('{place}/left'))"));
        let bind = |scene: &mut Scene| scene.spec.writable.push(Bind { source: shared.path().to_owned(), target: place.into() });
        assert_eq!(one_after_the_other(bind, &first, &second).await, "succeeded\n");
        assert_eq!(one_after_the_other(|_| {}, &first, &second).await, "ENOENT\n");
    }
}

#[tokio::test]
async fn a_segment_of_shared_memory() {
    let key = 0x7000_0000 + std::process::id();
    let first = format!("call('shmget', {key}, 4096, 0o1666)");
    let second = format!("found = call('shmget', {key}, 0, 0); attempt(lambda: found)\ntype(found) is int and call('shmctl', found, 0, None)");
    assert_eq!(one_after_the_other(|scene| scene.spec.lifted = vec![Protection::IpcNamespace], &first, &second).await, "succeeded\n");
    assert_eq!(one_after_the_other(|_| {}, &first, &second).await, "ENOENT\n");
}

#[tokio::test]
async fn a_queue_of_messages() {
    let name = format!("/tidegate-{}", std::process::id());
    // Landlock lets nobody make one.
    let first = format!("call('mq_open', b'{name}', 66, 0o666, None)");
    let second = format!("attempt(lambda: call('mq_open', b'{name}', 0)); call('mq_unlink', b'{name}')");
    assert_eq!(
        one_after_the_other(|scene| scene.spec.lifted = vec![Protection::IpcNamespace, Protection::Landlock], &first, &second).await,
        "succeeded\n"
    );
    assert_eq!(one_after_the_other(|scene| scene.spec.lifted = vec![Protection::Landlock], &first, &second).await, "ENOENT\n");
    assert_eq!(one_after_the_other(|_| {}, &first, &second).await, "ENOENT\n");
}

#[tokio::test]
async fn a_semaphore() {
    let key = 0x7100_0000 + std::process::id();
    let first = format!("call('semget', {key}, 1, 0o1666)");
    let second = format!("found = call('semget', {key}, 0, 0); attempt(lambda: found)\ntype(found) is int and call('semctl', found, 0, 0)");
    assert_eq!(one_after_the_other(|scene| scene.spec.lifted = vec![Protection::IpcNamespace], &first, &second).await, "succeeded\n");
    assert_eq!(one_after_the_other(|_| {}, &first, &second).await, "ENOENT\n");
}

#[cfg(target_arch = "x86_64")]
attacks! {
    // Of a user's own keyring, which all of his processes share, sandboxes as well.
    a_key_in_the_users_keyring: [Seccomp], "name = b'left-%d' % os.getpid(); syscall(248, b'user', name, b'x', 1, -4); attempt(lambda: syscall(250, 10, -4, b'user', name, 0))" => "EPERM";
}

/// A file that belongs to nobody else outside, whatever it says of itself inside.
#[tokio::test]
async fn a_file_with_rights_of_somebody_else() {
    use std::os::unix::fs::MetadataExt as _;
    let mut scene = Scene::new();
    let said = scene
        .python("open('mine', 'w').write('x'); os.chmod('mine', 0o6755)\nattempt(lambda: os.chown('mine', 0, 0)); print(os.stat('mine').st_uid)")
        .await;
    assert_eq!(said.text, "EINVAL\n1000\n", "there is no such user");
    let seen = std::fs::metadata(scene.folder.path().join("upper/mine")).unwrap();
    let expected = tidegate::adapters::sandbox::outer_uid().unwrap_or(rustix::process::geteuid().as_raw());
    assert_eq!(seen.uid(), expected);
    assert_ne!(seen.uid(), 0);
}

/// Whatever is tried on what is below: it is never written to.
#[tokio::test]
async fn the_commit_below_the_workspace() {
    let mut scene = Scene::new();
    let file = scene.folder.path().join("commit/readme");
    let before = std::fs::metadata(&file).unwrap();
    let script = "echo more >> readme; chmod 777 readme; ln readme other; echo again > other; mv readme moved; rm -rf moved; mkdir readme; truncate -s 0 /workspace/other; touch -d @0 other; ls";
    let _ = scene.run(script).await;
    let after = std::fs::metadata(&file).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hello\n");
    assert_eq!((before.permissions(), before.modified().unwrap()), (after.permissions(), after.modified().unwrap()));
}

/// The stories below need a process of their own: what they leave open, or hold, is there before the first sandbox.
fn in_a_process_of_its_own(story: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", story, "--ignored", "--nocapture"]).env("TIDEGATE_UNDER_TEST", program());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn a_descriptor_left_open() {
    let said = in_a_process_of_its_own("leftovers::a_caller_who_closes_nothing");
    assert!(said.contains("without: hello\n") && said.contains("with: nothing\n"), "{said}");
}

#[tokio::test]
#[ignore = "is started by the story above, in a process of its own"]
async fn a_caller_who_closes_nothing() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "hello\n").unwrap();
    let open = rustix::fs::open(secret.path(), rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    let held = std::os::fd::AsRawFd::as_raw_fd(&open);
    for (name, lifted) in [("without", vec![Protection::Descriptors]), ("with", Vec::new())] {
        let mut scene = Scene::new();
        scene.spec.lifted = lifted;
        println!(
            "{name}: {}",
            scene.python(&format!("try: print(os.pread({held}, 9, 0).decode(), end='')\nexcept OSError: print('nothing')")).await.text.trim()
        );
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_key_of_the_caller() {
    let said = in_a_process_of_its_own("leftovers::a_caller_with_a_key");
    assert!(said.contains("without: succeeded\n") && said.contains("with: ENOKEY\n"), "{said}");
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
#[ignore = "is started by the story above, in a process of its own"]
async fn a_caller_with_a_key() {
    // A session keyring of its own with a key in it, by the system's own python: the nursery is started by who has it.
    if std::env::var_os("TIDEGATE_HAS_KEY").is_none() {
        let script = "import ctypes, os, sys
libc = ctypes.CDLL(None)
assert libc.syscall(250, 1, None) > 0 and libc.syscall(248, b'user', b'tidegate-caller', b'precious', 8, -3) > 0
os.environ['TIDEGATE_HAS_KEY'] = 'yes'
os.execv(sys.argv[1], sys.argv[1:])";
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", script]).arg(std::env::current_exe().unwrap()).args(std::env::args_os().skip(1));
        let output = command.output().unwrap();
        print!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    for (name, lifted) in [("without", vec![Protection::Seccomp, Protection::Keyring]), ("with", vec![Protection::Seccomp])] {
        let mut scene = Scene::new();
        scene.spec.lifted = lifted;
        println!("{name}: {}", scene.python("attempt(lambda: syscall(249, b'user', b'tidegate-caller', 0, 0))").await.text.trim());
    }
}
