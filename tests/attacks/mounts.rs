//! Ways out through mounts and namespaces, by the old calls and the new ones. Numbers are those of x86-64.

use crate::support::{Scene, attacks, give, refused_twice};
use tidegate::adapters::sandbox::{Bind, Protection};

attacks! {
    a_bind_mount: [Seccomp, Landlock, Capabilities], "attempt(lambda: call('mount', b'/usr', b'/tmp', None, 4096, None))" => "EPERM";
    a_root_swapped: [Seccomp, Landlock, Capabilities], "os.mkdir('/tmp/old'); attempt(lambda: syscall(155, b'/tmp', b'/tmp/old'))" => "EPERM";
    a_file_system_by_the_new_calls: [Seccomp, Capabilities], "attempt(lambda: syscall(430, b'tmpfs', 0))" => "EPERM";
    a_tree_cloned: [Seccomp, Capabilities], "attempt(lambda: syscall(428, -100, b'/tmp', 1))" => "EPERM";
    a_tree_moved: [Seccomp, Landlock, Capabilities], "os.mkdir('/tmp/here'); tree = syscall(428, -100, b'/dev/shm', 1); attempt(lambda: syscall(429, tree, b'', -100, b'/tmp/here', 4) if type(tree) is int else tree)" => "EPERM";
    attributes_of_a_mount: [Seccomp, Capabilities], "attempt(lambda: syscall(442, -100, b'/tmp', 0, (ctypes.c_ulong * 4)(1, 0, 0, 0), 32))" => "EPERM";
    a_control_group_hierarchy: [Seccomp, Landlock, Capabilities], "# Only who has a control group namespace of his own may.
print(next((word for word in (str(answer) for answer in [syscall(272, 0x2000000)]) if word != '0'), None) or next(('succeeded' for kind, options in ((b'cgroup', b'memory'), (b'cgroup2', None)) if call('mount', b'x', b'/tmp', kind, 0, options) == 0), 'EPERM'))" => "EPERM";
    a_namespace_by_clone: [Seccomp, UserNamespaces], "answer = syscall(56, 0x10000000 | 17, 0, 0, 0, 0)
answer == 0 and os._exit(0)
attempt(lambda: answer)" => "EPERM";
    a_namespace_by_clone3: [Seccomp, UserNamespaces], "answer = syscall(435, (ctypes.c_ulong * 8)(0x10000000, 0, 0, 0, 17, 0, 0, 0), 64)
answer == 0 and os._exit(0)
attempt(lambda: answer)" => "ENOSYS";
    a_network_of_its_own: [Seccomp, Capabilities], "attempt(lambda: syscall(272, 0x40000000))" => "EPERM";
    another_namespace_entered: [Seccomp, Capabilities], "attempt(lambda: syscall(308, os.open('/proc/self/ns/net', os.O_RDONLY), 0))" => "EPERM";
}

refused_twice! {
    // The kernel gives none to who is not root of the machine.
    a_disk: [Seccomp, Landlock, Capabilities], "attempt(lambda: call('mknod', b'/tmp/disk', 0o60666, os.makedev(8, 0)))" => "EPERM";
    a_device_of_memory: [Seccomp, Landlock, Capabilities], "attempt(lambda: call('mknod', b'/workspace/mem', 0o20666, os.makedev(1, 1)))" => "EPERM";
    a_sys_of_its_own: [Seccomp, Landlock, Capabilities], "attempt(lambda: call('mount', b'x', b'/tmp', b'sysfs', 0, None))" => "EPERM";
    the_hosts_disk_mounted: [Seccomp, Landlock, Capabilities], "attempt(lambda: call('mount', b'/dev/vda', b'/tmp', b'ext4', 0, None))" => "EPERM";
    // The famous way from a container to root: what the machine runs when a control group is empty.
    a_release_agent: [Seccomp, Landlock, Capabilities], "syscall(272, 0x2000000)
if call('mount', b'x', b'/tmp', b'cgroup', 0, b'memory') != 0: print('EPERM')
else:
    try: open('/tmp/release_agent', 'w').write('/workspace/readme'); print('succeeded')
    except OSError as error: print(errno.errorcode[error.errno])" => "EPERM";
}

#[tokio::test]
async fn a_device_in_what_is_shown() {
    let mut said = Vec::new();
    for lifted in [vec![Protection::NoDevices], Vec::new()] {
        let mut scene = Scene::new();
        scene.spec.lifted = lifted;
        scene.spec.read_only.push(Bind { source: "/dev".into(), target: "/run/devices".into() });
        said.push(scene.python("attempt(lambda: os.read(os.open('/run/devices/zero', os.O_RDONLY), 1))").await.text);
    }
    assert_eq!(said, ["succeeded\n", "EACCES\n"]);
}

/// Made by root, as nobody else may; an ordinary user's commit can not have one.
#[tokio::test]
async fn a_device_in_the_commit() {
    let mut scene = Scene::new();
    let device = scene.folder.path().join("commit/zero");
    let zero = rustix::fs::makedev(1, 5);
    let made = rustix::fs::mknodat(rustix::fs::CWD, &device, rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666), zero);
    assert_eq!(made.is_ok(), rustix::process::geteuid().is_root());
    if made.is_err() {
        return;
    }
    give(&device);
    assert_eq!(scene.python("attempt(lambda: os.open('zero', os.O_RDONLY))").await.text, "EACCES\n");
}
