//! Attacks on what is on the host: files, processes, sockets, names.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::support::Scene;

#[tokio::test]
async fn files_of_the_host_are_not_there() {
    let said = Scene::new().run("for path in /etc/shadow /etc/ssh /root /home /var /sys /boot /srv /mnt /opt /run/docker.sock /run/secrets; do test -e $path && echo $path; done; ls /").await;
    assert!(!said.text.contains("/run") && !said.text.contains("/etc"), "{}", said.text);
    let expected = ["bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix", "proc", "run", "sbin", "tmp", "usr", "workspace"];
    assert!(said.text.lines().all(|line| expected.contains(&line)), "{}", said.text);
}

#[tokio::test]
async fn the_tools_and_the_root_can_not_be_written_to() {
    let script = "for path in /usr/x /usr/bin/sh /bin/x /etc/passwd /etc/x /run/x /x /dev/x /proc/x; do (echo x > $path) 2>/dev/null && echo wrote $path; done; echo done";
    assert_eq!(Scene::new().run(script).await.text, "done\n");
    assert!(!std::path::Path::new("/usr/x").exists());
}

#[tokio::test]
async fn processes_of_the_host_can_not_be_seen_or_killed() {
    let own = std::process::id();
    let script = format!("ls /proc | grep -c '^[0-9][0-9]*$'; kill -0 {own} 2>/dev/null && echo alive; kill -9 -1; echo $$");
    let said = Scene::new().run(&script).await;
    let seen: u32 = said.text.lines().next().unwrap().parse().unwrap();
    assert!(seen <= 4, "init, the shell, ls and grep: {}", said.text);
    assert!(!said.text.contains("alive"), "{}", said.text);
}

#[tokio::test]
async fn sockets_of_the_host_can_not_be_reached() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("tidegate-attack-{}", std::process::id());
    let abstract_socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = format!(
        "for family, address in (socket.AF_INET, ('127.0.0.1', {})), (socket.AF_UNIX, '\\0{name}'), (socket.AF_INET, ('192.0.2.1', 80)):\n    \
         try:\n        socket.socket(family).connect(address); print('connected')\n    \
         except OSError as error:\n        print(errno.errorcode[error.errno])\n\
         print(socket.if_nameindex())",
        tcp.local_addr().unwrap().port()
    );
    assert_eq!(Scene::new().python(&script).await.text, "ECONNREFUSED\nECONNREFUSED\nENETUNREACH\n[(1, 'lo')]\n");
    tcp.set_nonblocking(true).unwrap();
    abstract_socket.set_nonblocking(true).unwrap();
    assert!(tcp.accept().is_err() && abstract_socket.accept().is_err());
}

#[tokio::test]
async fn the_host_keeps_its_name() {
    let before = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let said = Scene::new().python("print(call('sethostname', b'pwned', 5)); print(open('/proc/sys/kernel/hostname').read(), end='')").await;
    assert_eq!(said.text, "EPERM\ntidegate\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
}

#[tokio::test]
async fn no_descriptor_and_no_variable_leaks_in() {
    // This process has both: descriptors of the test harness, and the variables that cargo sets.
    let kept = std::fs::File::open("/etc/hostname").unwrap();
    let said = Scene::new().run("echo /proc/self/fd/*; env").await;
    drop(kept);
    let (descriptors, variables) = said.text.split_once('\n').unwrap();
    // The shell reads the folder through one descriptor of its own.
    assert!(descriptors.split(' ').count() <= 4 && descriptors.starts_with("/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2"), "{descriptors}");
    assert_eq!(variables, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/workspace\n");
}

#[tokio::test]
async fn a_link_in_the_commit_that_points_out_ends_inside() {
    let mut scene = Scene::new();
    let secret = scene.folder.path().join("secret");
    std::fs::write(&secret, "precious").unwrap();
    std::os::unix::fs::symlink(&secret, scene.folder.path().join("commit/link")).unwrap();
    let said = scene.run("cat link 2>/dev/null || echo nothing; cat /workspace/../../../../../etc/hostname").await;
    assert_eq!(said.text, "nothing\ntidegate\n");
}

#[tokio::test]
async fn a_bind_into_a_linked_folder_of_the_commit_lands_inside() {
    let mut scene = Scene::new();
    let outside = scene.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, scene.folder.path().join("commit/cache")).unwrap();
    scene.spec.read_only.push(tidegate::adapters::sandbox::Bind { source: "/etc/hostname".into(), target: "/workspace/cache/name".into() });
    // Whether that is an error or a file inside: nothing of it may appear outside.
    let _ = tidegate::adapters::sandbox::spawn(&{
        scene.spec.argv = vec!["/bin/true".to_owned()];
        scene.spec.clone()
    })
    .await;
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn nothing_is_mounted_but_what_was_put_in() {
    let said = Scene::new().run("cut -d' ' -f5 /proc/self/mountinfo | sort -u").await;
    // What the overlay is made of lies below it, where nobody comes: it would have to be taken away.
    let expected = ["/", "/bin", "/sbin", "/proc", "/tmp", "/workspace"];
    let folders = ["/dev/", "/etc/", "/proc/", "/usr", "/lib", "/nix/store"];
    let strange: Vec<_> = said.text.lines().filter(|at| !expected.contains(at) && !folders.iter().any(|folder| at.starts_with(folder))).collect();
    assert_eq!(strange, Vec::<&str>::new());
    assert!(said.text.contains("/workspace\n"));
    let below = Scene::new().run("ls -A /workspace; umount /workspace 2>/dev/null || ls -A /workspace").await;
    assert!(!below.text.contains("l0") && !below.text.contains("upper"), "{}", below.text);
}
