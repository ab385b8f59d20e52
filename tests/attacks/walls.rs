//! Attacks that succeed when one wall is taken down, and fail when it stands. Each script says "succeeded" or the error's name. Here: walls in front of namespaces,
//! mounts, sockets and terminals.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use tidegate::adapters::sandbox::{self, NetworkOf, Protection, SandboxError};
use tidegate::model::outcome::Exit;

use crate::support::{Scene, attacks, without_and_with};

attacks! {
    a_user_namespace: [Seccomp, UserNamespaces], "answer = call('unshare', 0x10000000); print(answer or 'succeeded')" => "EPERM";
    a_mount: [Seccomp, Landlock, Capabilities], "answer = call('mount', b'none', b'/tmp', b'tmpfs', 0, None); print(answer or 'succeeded')" => "EPERM";
    a_mount_taken_away: [Seccomp, Landlock, Capabilities], "answer = call('umount2', b'/dev/shm', 2); print(answer or 'succeeded')" => "EPERM";
    a_new_root: [Seccomp, Capabilities], "answer = call('chroot', b'/tmp'); print(answer or 'succeeded')" => "EPERM";
    a_host_name: [Seccomp, Capabilities], "answer = call('sethostname', b'pwned', 5); print(answer or 'succeeded')" => "EPERM";
    a_raw_socket: [Seccomp, Capabilities], "answer = call('socket', 2, 3, 1); print('succeeded' if type(answer) is int else answer)" => "EPERM";
    a_packet_socket: [Seccomp, Capabilities], "answer = call('socket', 17, 3, 0); print('succeeded' if type(answer) is int else answer)" => "EPERM";
    a_personality_without_random_addresses: [Seccomp], "answer = call('personality', 0x40000); print('succeeded' if type(answer) is int else answer)" => "EPERM";
    more_signals_waiting_than_allowed: [Rlimits], "import resource
print('succeeded' if resource.getrlimit(resource.RLIMIT_SIGPENDING)[1] > 4096 else 'bounded')" => "bounded";
}

#[tokio::test]
async fn a_process_without_a_wall_that_must_stand_does_not_begin() {
    for (wall, name) in [(Protection::Landlock, "landlock"), (Protection::Seccomp, "seccomp"), (Protection::Rlimits, "rlimits")] {
        let mut scene = Scene::new();
        scene.spec.argv = ["/bin/touch", "/workspace/begun"].map(str::to_owned).to_vec();
        scene.spec.required = vec!["user-namespace".to_owned(), name.to_owned()];
        scene.spec.lifted = vec![wall];
        match sandbox::spawn(&scene.spec).await {
            Err(SandboxError::Unprotected(why)) => assert!(why.contains(name) && !why.contains("user-namespace"), "{why}"),
            other => panic!("{other:?}"),
        }
        let begun = scene.spec.overlay.as_ref().unwrap().upper.join("begun");
        assert!(!begun.exists(), "{name}");
        // It is the wall, and nothing else.
        let mut whole = Scene::new();
        whole.spec.required = scene.spec.required;
        assert_eq!(whole.run("touch /workspace/begun").await.ended.exit, Exit::Code(0), "{name}");
    }
}

/// Also where the number has more than 32 bits, of which the kernel reads the low half.
#[tokio::test]
async fn typing_into_a_terminal() {
    let script = "import ctypes\nlibc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p]\nprint(call('ioctl', 0, 0x5412, b'x'), call('ioctl', 0, 0x100005412, b'x'), call('ioctl', 0, 0x541c, b'x'))";
    let (without, with) = without_and_with(&[Protection::Seccomp], script).await;
    // There is no terminal; what counts is who answers: the device, or the filter before it.
    assert!(!without.contains("EPERM"), "{without}");
    assert_eq!(with, "EPERM EPERM EPERM\n");
}

#[tokio::test]
async fn an_abstract_socket_of_the_host_whose_network_is_shared() {
    let name = format!("tidegate-walls-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = format!(
        "try:\n    socket.socket(socket.AF_UNIX).connect('\\0{name}'); print('succeeded')\nexcept OSError as error:\n    print(errno.errorcode[error.errno])"
    );
    let mut said = Vec::new();
    for lifted in [vec![Protection::Landlock], vec![]] {
        let mut scene = Scene::new();
        scene.spec.network = NetworkOf::Host;
        scene.spec.lifted = lifted;
        said.push(scene.python(&script).await.text);
    }
    assert_eq!(said, ["succeeded\n", "EPERM\n"]);
}
