//! What a step leaves behind on purpose: outputs that are something else than they say.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tidegate::model::invocation::{InvocationSpec, OutputDeclaration};
use tidegate::model::outcome::Outcome;

use crate::whole::{Ended, run_all_of, spec};

async fn leave(script: &str, path: &str) -> Ended {
    let outputs = vec![OutputDeclaration { name: "it".to_owned(), path: path.to_owned() }];
    let ended = run_all_of(InvocationSpec { outputs, ..spec(script) }).await;
    assert_eq!(ended.left, Vec::<String>::new());
    ended
}

fn layer(ended: &Ended) -> PathBuf {
    assert_eq!(ended.result.outcome, Outcome::Succeeded, "{}", ended.log);
    ended.result.layer.clone().unwrap()
}

#[tokio::test]
async fn a_link_to_a_file_of_the_host() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let ended = leave(&format!("ln -s {} it", secret.path().display()), "it").await;
    assert!(ended.reason().contains("is a symbolic link"), "{}", ended.reason());
}

#[tokio::test]
async fn a_link_out_of_a_folder() {
    let ended = leave("mkdir it; ln -s ../../../../../../etc/shadow it/x", "it").await;
    assert!(ended.reason().contains("has a symbolic link that leaves it"), "{}", ended.reason());
}

#[tokio::test]
async fn a_folder_that_is_a_link_to_the_host() {
    let ended = leave("ln -s /etc dist", "dist/passwd").await;
    assert!(ended.reason().contains("is behind a symbolic link"), "{}", ended.reason());
}

/// From the tools, the script and the devices to the workspace there is no hard link: they are on other mounts.
#[tokio::test]
async fn a_hard_link_to_what_is_shown() {
    let script = "for path in /usr/bin/env /run/tidegate/script /dev/null /proc/version /etc/passwd; do ln $path it 2>/dev/null && echo linked $path; done; echo x > it";
    assert_eq!(leave(script, "it").await.log, "");
}

/// A file with two names of the step's own is two files to those who come after: a change of one is none of the other.
#[tokio::test]
async fn hard_links_within_an_output() {
    let ended = leave("mkdir it; echo x > it/a; ln it/a it/b; ln it/a outside", "it").await;
    let layer = layer(&ended);
    assert_eq!(std::fs::read_to_string(layer.join("it/b")).unwrap(), "x\n");
    assert!(!layer.join("outside").exists());
}

#[tokio::test]
async fn rights_of_set_user_id() {
    let ended = leave("mkdir it; cp /bin/cat it/cat; chmod 6777 it/cat; chmod 7777 it", "it").await;
    let mode = |path: &str| std::fs::metadata(layer(&ended).join(path)).unwrap().permissions().mode();
    assert_eq!(mode("it/cat") & 0o7022, 0, "{:o}", mode("it/cat"));
    assert_eq!(mode("it") & 0o7022, 0, "{:o}", mode("it"));
}

#[tokio::test]
async fn a_device_a_fifo_and_a_socket() {
    for (script, what) in [
        ("mkfifo it", "a FIFO"),
        ("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"it\")'", "a socket"),
        // The only device that anybody may make: an overlay's mark that something was deleted. To the overlay it is nothing.
        ("mknod it c 0 0 || true", "was not made by the step"),
    ] {
        let ended = leave(script, "it").await;
        assert!(ended.reason().contains(what), "{}", ended.reason());
    }
}

/// An overlay's marks in attributes, set by the step itself, decide nothing for those who come after.
#[tokio::test]
async fn marks_of_an_overlay() {
    let script = "mkdir it; echo x > it/a; python3 -c 'import os
for name in \"user.overlay.opaque\", \"user.overlay.redirect\", \"user.overlay.metacopy\", \"trusted.overlay.opaque\":
    try: os.setxattr(\"it\", name, b\"/etc\")
    except OSError as error: pass'";
    let ended = leave(script, "it").await;
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(layer(&ended).join("it"), &mut names[..]).unwrap_or(0);
    assert_eq!(String::from_utf8_lossy(&names[..length]), "");
}

#[tokio::test]
async fn a_path_that_climbs_out() {
    for path in ["../../../etc/passwd", "/etc/passwd", "x/../../y"] {
        let ended = leave("true", path).await;
        assert!(ended.reason().contains("leaves the workspace"), "{}", ended.reason());
    }
}

#[tokio::test]
async fn a_file_of_values_that_is_something_else() {
    for script in [
        "rm \"$TIDEGATE_OUTPUT\"; ln -s /etc/passwd \"$TIDEGATE_OUTPUT\"",
        "rm \"$TIDEGATE_OUTPUT\"; mkfifo \"$TIDEGATE_OUTPUT\"",
        "rm \"$TIDEGATE_OUTPUT\"; mkdir \"$TIDEGATE_OUTPUT\"",
        "truncate -s 100G \"$TIDEGATE_OUTPUT\"",
    ] {
        let ended = run_all_of(spec(script)).await;
        assert!(matches!(ended.result.outcome, Outcome::Failed { .. }), "{script}: {:?}", ended.result.outcome);
    }
}

/// What a step sees of tidegate: its own script and answers, nothing of the state folder.
#[tokio::test]
async fn the_state_folder() {
    let ended = run_all_of(spec(
        "find /run -type f | sort; env | grep -i state || true; cut -d' ' -f4- /proc/self/mountinfo | grep -o 'invocations.*' || true",
    ))
    .await;
    let seen: Vec<&str> = ended.log.lines().collect();
    assert_eq!(
        seen,
        [
            "/run/tidegate/answers/findings",
            "/run/tidegate/answers/summary",
            "/run/tidegate/answers/values",
            "/run/tidegate/bin/tidegate",
            "/run/tidegate/script"
        ]
    );
    assert!(ended.state.path().join("log").exists());
}
