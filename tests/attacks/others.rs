//! One invocation against another that runs beside it, and against those who look after both.

use std::os::unix::net::UnixListener;

use tidegate::adapters::sandbox::{self, Bind, Isolation, NetworkOf, Protection, Running};

use crate::support::{Scene, marker, processes};

/// A sandbox with something to hide, that runs until it is dropped, and the processes above it: itself, its PID 1, its helper.
struct Victim {
    scene: Scene,
    running: Running,
    sleep: String,
}

impl Victim {
    async fn new() -> Self {
        let (mut scene, sleep) = (Scene::new(), marker());
        let script = format!("echo precious > secret; cp secret /tmp/secret; cp secret /dev/shm/secret; echo ready; exec sleep {sleep}");
        scene.spec.argv = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
        scene.spec.env.insert("TOKEN".to_owned(), "precious".to_owned());
        let mut running = sandbox::spawn(&scene.spec).await.unwrap();
        tokio::io::AsyncReadExt::read_exact(&mut running.output, &mut [0; 6]).await.unwrap();
        // Asked once a time: a process that is just becoming another program has no command line for a moment.
        while !matches!(processes(&sleep)[..], [one] if command_of(one) == "sleep") {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Self { scene, running, sleep }
    }

    /// Seen from outside.
    fn processes(&self) -> [u32; 3] {
        let own = processes(&self.sleep)[0];
        let init = parent_of(own);
        [own, init, parent_of(init)]
    }
}

fn command_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn parent_of(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok()).unwrap()
}

async fn attack(lifted: &[Protection], script: &str) -> String {
    let mut scene = Scene::new();
    scene.spec.lifted = lifted.to_vec();
    scene.python(script).await.text
}

#[tokio::test]
async fn the_command_line_of_another_invocation() {
    let victim = Victim::new().await;
    let script = format!(
        "for pid in [int(name) for name in os.listdir('/proc') if name.isdigit()]:
    try: '{}' in open('/proc/%d/cmdline' % pid).read() and print('succeeded')
    except OSError: pass",
        victim.sleep
    );
    assert_eq!(attack(&[Protection::FreshProc], &script).await, "succeeded\n");
    assert_eq!(attack(&[], &script).await, "");
}

/// Also where they can be seen: the other one is in another user namespace.
#[tokio::test]
async fn the_environment_the_files_and_the_memory_of_another_invocation() {
    let victim = Victim::new().await;
    let script = format!(
        "for path in 'environ', 'root/tmp/secret', 'cwd/secret', 'mem', 'fd/1', 'exe':\n    attempt(lambda: os.open('/proc/{}/' + path, os.O_RDONLY))",
        victim.processes()[0]
    );
    for lifted in [&[Protection::FreshProc, Protection::Landlock, Protection::Seccomp][..], &[]] {
        let said = attack(lifted, &script).await;
        assert!(!said.contains("succeeded") && said.lines().count() == 6, "{said}");
    }
}

#[tokio::test]
async fn a_signal_to_another_invocation_its_init_and_its_helper() {
    let mut victim = Victim::new().await;
    let [own, init, helper] = victim.processes();
    let script = format!("for pid in {own}, {init}, {helper}:\n    attempt(lambda: os.kill(pid, 0))");
    assert_eq!(attack(&[Protection::PidNamespace, Protection::Landlock], &script).await, "succeeded\nsucceeded\nsucceeded\n");
    assert_eq!(attack(&[], &script).await, "ESRCH\nESRCH\nESRCH\n");
    // Nor by everybody whom it can reach.
    attack(&[], "os.kill(-1, 9)").await;
    assert_eq!(processes(&victim.sleep), [own]);
    victim.running.kill();
    victim.running.wait().await;
}

/// With the network of the host one still has no processes of it.
#[tokio::test]
async fn a_signal_from_who_shares_the_hosts_network() {
    let victim = Victim::new().await;
    let mut scene = Scene::new();
    scene.spec.network = NetworkOf::Host;
    let script =
        format!("attempt(lambda: os.kill({}, 0))\nprint(max(int(pid) for pid in os.listdir('/proc') if pid.isdigit()) < 10)", victim.processes()[2]);
    assert_eq!(scene.python(&script).await.text, "ESRCH\nTrue\n");
}

/// Tidegate itself, which for an ordinary user is the same user's process.
#[tokio::test]
async fn a_signal_to_tidegate() {
    let script = format!("attempt(lambda: os.kill({}, 0))", std::process::id());
    let without = attack(&[Protection::PidNamespace, Protection::Landlock], &script).await;
    assert_eq!(without, if sandbox::outer_uid().is_some() { "EPERM\n" } else { "succeeded\n" });
    assert_eq!(attack(&[], &script).await, "ESRCH\n");
}

#[tokio::test]
async fn a_tracer_of_another_invocation() {
    let victim = Victim::new().await;
    let script = format!("attempt(lambda: call('ptrace', 0x4206, {}, 0, 0))", victim.processes()[0]);
    let without = attack(&[Protection::PidNamespace, Protection::Landlock, Protection::Seccomp], &script).await;
    assert_eq!(without, "EPERM\n", "the kernel's own wall: another user namespace");
    assert_eq!(attack(&[], &script).await, "ESRCH\n");
}

/// By looking everywhere, and at the places where it would be outside.
#[tokio::test]
async fn files_of_another_invocation() {
    let victim = Victim::new().await;
    let outside = victim.scene.folder.path().display().to_string();
    let script = format!(
        "grep -rls precious / --exclude-dir=usr --exclude-dir=proc; grep -ls precious /proc/[0-9]*/environ; ls {outside} 2>/dev/null; echo done"
    );
    let mut without = Scene::new();
    without.spec.read_only.push(Bind { source: victim.scene.folder.path().to_owned(), target: "/run/other".into() });
    assert!(without.run(&script).await.text.contains("/run/other/upper/secret"));
    assert_eq!(Scene::new().run(&script).await.text, "done\n");
}

#[tokio::test]
async fn sockets_of_another_invocation() {
    let listening = "
server, other = socket.socket(), socket.socket(socket.AF_UNIX)
server.bind(('127.0.0.1', 0)); server.listen(); other.bind('\\0tidegate-other-%d' % server.getsockname()[1]); other.listen()
print(server.getsockname()[1], flush=True)
signal.pause()";
    for (shared, expected) in [(true, "succeeded\nsucceeded\n"), (false, "ECONNREFUSED\nECONNREFUSED\n")] {
        let mut first = Scene::new();
        (first.spec.network, first.spec.lifted) = (of(shared), vec![Protection::Landlock]);
        std::fs::write(first.folder.path().join("commit/listen.py"), format!("import signal, socket{listening}")).unwrap();
        first.spec.argv = ["/usr/bin/python3", "listen.py"].map(str::to_owned).to_vec();
        let mut running = sandbox::spawn(&first.spec).await.unwrap();
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(tokio::io::AsyncReadExt::read_u8(&mut running.output).await.unwrap());
        }
        let port = String::from_utf8(line).unwrap();
        let mut second = Scene::new();
        (second.spec.network, second.spec.lifted) = (of(shared), first.spec.lifted.clone());
        let script = format!(
            "attempt(lambda: socket.socket().connect(('127.0.0.1', {0})))\nattempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0tidegate-other-{0}'))",
            port.trim()
        );
        assert_eq!(second.python(&script).await.text, expected);
    }
}

#[tokio::test]
async fn a_service_on_the_hosts_loopback() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!("attempt(lambda: socket.socket().connect(('127.0.0.1', {})))", server.local_addr().unwrap().port());
    for (open, expected) in [(true, "succeeded\n"), (false, "ECONNREFUSED\n")] {
        let mut scene = Scene::new();
        scene.spec.network = of(open);
        assert_eq!(scene.python(&script).await.text, expected);
    }
}

/// A socket with a name in the file system, as a container engine's: read-only is no wall before it. It is not shown.
#[tokio::test]
async fn the_socket_of_a_container_engine() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    for path in [folder.path(), &socket] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let script = format!(
        "for path in '/run/engine/docker.sock', '{}', '/var/run/docker.sock', '/run/podman/podman.sock':\n    attempt(lambda: socket.socket(socket.AF_UNIX).connect(path))",
        socket.display()
    );
    let mut shown = Scene::new();
    shown.spec.read_only.push(Bind { source: folder.path().to_owned(), target: "/run/engine".into() });
    assert_eq!(shown.python(&script).await.text, "succeeded\nENOENT\nENOENT\nENOENT\n");
    assert_eq!(Scene::new().python(&script).await.text, "ENOENT\nENOENT\nENOENT\nENOENT\n");
    drop(listener);
}

/// Without isolation all of it is there: what the walls keep out is really there.
#[tokio::test]
async fn without_isolation_the_host_is_there() {
    let mut scene = Scene::new();
    scene.spec.isolation = Isolation::None;
    let said = scene.run(&format!("kill -0 {} && echo alive; test -d /sys && echo sys", std::process::id())).await.text;
    assert_eq!(said, if sandbox::outer_uid().is_some() { said.clone() } else { "alive\nsys\n".to_owned() });
    assert!(said.contains("sys\n"));
}

fn of(host: bool) -> NetworkOf {
    if host { NetworkOf::Host } else { NetworkOf::Own }
}
