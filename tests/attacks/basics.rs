//! First what shall work: a sandbox that refuses everything would pass every attack.

use tidegate::model::outcome::Exit;

use crate::support::Scene;

#[tokio::test]
async fn a_step_sees_the_commit_and_writes_to_its_own_layer_only() {
    let mut scene = Scene::new();
    let said =
        scene.run("cat readme; echo changed > readme; mkdir -p dist; echo new > dist/file; cat readme; id -u; hostname; echo err >&2; exit 7").await;
    assert_eq!(said.text, "hello\nchanged\n1000\ntidegate\nerr\n");
    assert_eq!(said.ended.exit, Exit::Code(7));
    let folder = scene.folder.path();
    assert_eq!(std::fs::read_to_string(folder.join("commit/readme")).unwrap(), "hello\n");
    assert_eq!(std::fs::read_to_string(folder.join("upper/readme")).unwrap(), "changed\n");
    assert_eq!(std::fs::read_to_string(folder.join("upper/dist/file")).unwrap(), "new\n");
    assert!(said.ended.peak_memory_bytes > 0 && said.ended.run_us > 0);
}

#[tokio::test]
async fn a_socket_that_listens_inside_is_handed_out_and_the_lifeline_kills() {
    let mut scene = Scene::new();
    scene.spec.listen = Some(9001);
    scene.spec.argv = ["/bin/sh", "-c", "sleep 1000 & sleep 1000"].map(str::to_owned).to_vec();
    let mut running = tidegate::adapters::sandbox::spawn(&scene.spec).await.unwrap();
    let listener = running.listener.take().unwrap();
    assert_eq!(listener.local_addr().unwrap().port(), 9001);
    assert!(std::net::TcpStream::connect("127.0.0.1:9001").is_err(), "it listens in the sandbox's network, not in the host's");
    running.kill();
    assert_eq!(running.wait().await.exit, Exit::Signal(9));
}

#[tokio::test]
async fn a_missing_program_is_the_callers_fault() {
    let mut scene = Scene::new();
    scene.spec.argv = vec!["no-such-tool".to_owned()];
    let error = tidegate::adapters::sandbox::spawn(&scene.spec).await.unwrap_err();
    assert_eq!(error.to_string(), "no-such-tool can not be started: no such program in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

#[tokio::test]
async fn without_isolation_it_still_leaves_nothing_running() {
    let mut scene = Scene::new();
    scene.spec.isolation = tidegate::adapters::sandbox::Isolation::None;
    let said = scene.run("cat readme; setsid sh -c 'echo $$ > pid; exec sleep 1000' & while [ ! -s pid ]; do :; done; cat pid").await;
    assert_eq!(said.ended.exit, Exit::Code(0));
    let (first, pid) = said.text.split_once('\n').unwrap();
    assert_eq!(first, "hello");
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
}

#[tokio::test]
async fn ordinary_tools_feel_at_home() {
    let mut scene = Scene::new();
    scene.spec.env.insert("HOME".to_owned(), tidegate::adapters::sandbox::INNER_HOME.to_owned());
    let said = scene
        .run(
            "git init --quiet . && git add readme && git -c user.name=a -c user.email=a@b commit --quiet -m one && git log --format=%s
            python3 -c 'import multiprocessing, tempfile, getpass, socket; multiprocessing.Lock(); tempfile.mkdtemp(); print(getpass.getuser(), socket.gethostbyname(\"localhost\"))'
            python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 & sleep 0.01
            python3 -c '
import time, urllib.request
for attempt in range(1000):
    try:
        print(urllib.request.urlopen(\"http://127.0.0.1:8000/readme\").read().decode(), end=\"\"); break
    except OSError:
        time.sleep(0.01)'
            echo ~; touch ~/.config; whoami; date +%Z >/dev/null; mv readme moved; rm -r .git; ls",
        )
        .await;
    assert_eq!(said.text, "one\ntidegate 127.0.0.1\nhello\n/tmp/home\ntidegate\nmoved\n");
}
