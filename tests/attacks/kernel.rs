//! Attacks on the kernel's barriers: privileges, mounts, devices, namespaces, tracing.

use tidegate::model::outcome::Exit;

use crate::support::Scene;

#[tokio::test]
async fn there_is_no_privilege_left_and_no_way_to_a_new_one() {
    let said = Scene::new().run("grep -E '^(Cap|NoNewPrivs|Uid|Gid)' /proc/self/status | tr -s '\\t ' ' '").await;
    let none = "0000000000000000";
    let expected = format!(
        "Uid: 1000 1000 1000 1000\nGid: 1000 1000 1000 1000\nCapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapBnd: {none}\nCapAmb: {none}\nNoNewPrivs: 1\n"
    );
    assert_eq!(said.text, expected);
}

#[tokio::test]
async fn a_setuid_program_gives_nothing() {
    let said = Scene::new().run("cp /bin/cat mine; chmod 6755 mine; ./mine /proc/self/status | grep -E '^[UG]id' | tr -s '\\t' ' '; test -u /usr/bin/su && /usr/bin/su -c id 2>/dev/null; echo done").await;
    assert_eq!(said.text, "Uid: 1000 1000 1000 1000\nGid: 1000 1000 1000 1000\ndone\n");
}

#[tokio::test]
async fn nothing_can_be_mounted_remounted_or_made_a_device() {
    let script = r"
MS_REMOUNT, MS_BIND, MNT_DETACH = 32, 4096, 2
print(call('mount', b'none', b'/tmp', b'tmpfs', 0, None))
print(call('mount', b'none', b'/usr', None, MS_REMOUNT | MS_BIND, None))
print(call('mount', b'/usr', b'/tmp', None, MS_BIND, None))
print(call('umount2', b'/workspace', MNT_DETACH), call('umount2', b'/usr', MNT_DETACH))
print(call('mknod', b'/workspace/disk', 0o60666, os.makedev(8, 0)))
print(call('mknod', b'/tmp/null', 0o20666, os.makedev(1, 3)))
print(call('chroot', b'/tmp'), call('pivot_root', b'/tmp', b'/tmp') if hasattr(libc, 'pivot_root') else 'EPERM')
print(call('setns', os.open('/proc/self/ns/mnt', os.O_RDONLY), 0))
";
    let said = Scene::new().python(script).await;
    assert_eq!(said.text, "EPERM\nEPERM\nEPERM\nEPERM EPERM\nEPERM\nEPERM\nEPERM EPERM\nEPERM\n");
}

#[tokio::test]
async fn no_namespace_of_its_own_brings_capabilities_back() {
    let script = r"
CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET = 0x10000000, 0x20000, 0x40000000
print(call('unshare', CLONE_NEWUSER), call('unshare', CLONE_NEWUSER | CLONE_NEWNS), call('unshare', CLONE_NEWNS), call('unshare', CLONE_NEWNET))
try:
    open('/proc/sys/user/max_user_namespaces', 'w').write('100')
except OSError as error:
    print(errno.errorcode[error.errno])
";
    let said = Scene::new().python(script).await;
    assert_eq!(said.text, "EPERM EPERM EPERM EPERM\nEACCES\n");
    assert_eq!(Scene::new().run("unshare -Ur mount -o remount,rw /usr").await.ended.exit, Exit::Code(1));
}

#[tokio::test]
async fn the_kernels_settings_can_not_be_written() {
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let script = "for file in kernel/core_pattern kernel/hostname vm/drop_caches net/ipv4/ip_forward fs/suid_dumpable; do (echo 1 > /proc/sys/$file) 2>/dev/null && echo wrote $file; done
        (echo b > /proc/sysrq-trigger) 2>/dev/null && echo wrote; head -c 1 /proc/kcore 2>/dev/null; ls /sys 2>/dev/null; echo done";
    assert_eq!(Scene::new().run(script).await.text, "done\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
}

#[tokio::test]
async fn init_can_not_be_traced_read_or_stopped() {
    let script = r"
print(call('ptrace', 16, 1, 0, 0))  # PTRACE_ATTACH
for path in 'environ', 'mem', 'maps', 'fd/0', 'root/etc', 'cwd/x', 'exe':
    try:
        os.open('/proc/1/' + path, os.O_RDONLY); print('opened', path)
    except OSError as error:
        print(errno.errorcode[error.errno], end=' ')
# TERM goes on to everybody inside, as when it comes from outside; nothing else does anything.
signal.signal(15, signal.SIG_IGN)
os.kill(1, 9); os.kill(1, 19); os.kill(1, 15)
print('alive')
";
    assert_eq!(Scene::new().python(script).await.text, "EPERM\nEACCES EACCES EACCES EACCES EACCES EACCES EACCES alive\n");
}

#[tokio::test]
async fn there_is_no_terminal_and_no_end_of_disk_to_take() {
    let mut scene = Scene::new();
    scene.spec.tmp_size = 1 << 20;
    let said = scene.run("tty; (echo > /dev/tty) 2>/dev/null && echo terminal; head -c 8000000 /dev/zero > /tmp/big 2>/dev/null && echo filled; head -c 8000000 /dev/zero > /dev/shm/big 2>/dev/null && echo filled; cat; echo done").await;
    assert_eq!(said.text, "not a tty\ndone\n");
}
