//! `tidegate scan` on real repositories. Every secret is put together here, so that none stands in this file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A real repository in a temporary folder, with an empty home beside it.
struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir(repository.path()).unwrap();
        fs::create_dir(repository.home()).unwrap();
        repository.git(&["init", "--quiet"]);
        repository
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("repository")
    }
    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn git(&self, arguments: &[&str]) {
        let output = self.quiet(Command::new("git")).args(["-c", "user.name=T", "-c", "user.email=t@example.com"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Nothing of this machine's settings.
    fn quiet(&self, mut command: Command) -> Command {
        command.current_dir(self.path()).env("HOME", self.home()).env("XDG_CONFIG_HOME", self.home());
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").env_remove("TIDEGATE_STATE_DIR");
        command
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn commit(&self) -> &Self {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--message", "Add files"]);
        self
    }

    fn scan(&self, arguments: &[&str]) -> Scanned {
        let output = self.quiet(Command::new(env!("CARGO_BIN_EXE_tidegate"))).arg("scan").args(arguments).output().unwrap();
        Scanned::of(&output)
    }
}

struct Scanned {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Scanned {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// `severity rule place` of each finding.
    fn found(&self) -> Vec<String> {
        let lines = self.out.lines().filter(|line| ["critical", "high", "medium", "low"].iter().any(|word| line.starts_with(word)));
        lines.map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect()
    }

    fn fingerprints(&self) -> Vec<String> {
        self.out.lines().filter_map(|line| line.trim().strip_prefix("fingerprint ")).map(str::to_owned).collect()
    }

    /// The last line that counts.
    fn sum(&self) -> &str {
        self.out.lines().find(|line| line.contains(" in ") && line.contains(" finding")).unwrap_or_default()
    }
}

fn cloud_key() -> String {
    ["AKI", "A", "Q4NZ7TWLGE2XVKMB"].concat()
}
fn github_token() -> String {
    ["gh", "p_", "x7Kq2mVb9TzRw4LsYp8NcDf3HgJa6E", "uQ1i0o"].concat()
}
fn private_key() -> String {
    let line = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz\n";
    let kind = "OPENSSH PRIVATE KEY";
    format!("-----{} {kind}-----\n{}-----{} {kind}-----\n", "BEGIN", line.repeat(5), "END")
}

fn planted() -> Repository {
    let repository = Repository::new();
    repository
        .file("README.md", "# Hello\n")
        .file("src/settings.py", format!("REGION = 'eu-west-1'\nKEY = '{}'\n", cloud_key()))
        .file("docs/notes.md", format!("one\ntwo\nuse {} to push\n", github_token()))
        .file("deploy/id_ed25519", private_key());
    repository
}

#[test]
fn a_cloud_key_a_github_token_and_a_private_key_are_found_and_never_shown() {
    let repository = planted();
    repository.commit();
    let scanned = repository.scan(&["--sarif", "findings.sarif"]);
    assert_eq!(
        scanned.found(),
        ["critical private-key deploy/id_ed25519:1:1", "critical github-pat docs/notes.md:3:5", "critical aws-access-key src/settings.py:2:8"],
        "{}{}",
        scanned.out,
        scanned.err
    );
    assert!(scanned.sum().starts_with("3 findings in 4 files"), "{}", scanned.out);
    assert_eq!(scanned.code, Some(1));

    let sarif = fs::read_to_string(repository.path().join("findings.sarif")).unwrap();
    for secret in [&cloud_key(), &github_token(), &private_key()[40..80].to_owned()] {
        for text in [&scanned.out, &scanned.err, &sarif] {
            assert!(!text.contains(secret.as_str()), "a secret is in the output");
        }
    }
    let sarif: Value = serde_json::from_str(&sarif).unwrap();
    let rules: Vec<&str> = sarif["runs"][0]["results"].as_array().unwrap().iter().filter_map(|result| result["ruleId"].as_str()).collect();
    assert_eq!(rules, ["private-key", "github-pat", "aws-access-key"]);
    for result in sarif["runs"][0]["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        assert_eq!(result["level"], "error");
    }
}

#[test]
fn names_are_looked_at_and_shown_without_the_secret() {
    let repository = Repository::new();
    repository
        .file(&format!("{}.txt", github_token()), "nothing in here\n")
        .file(&format!("backup_{}_old/readme", cloud_key()), "nor here\n")
        .commit();
    let scanned = repository.scan(&[]);
    assert_eq!(scanned.found(), ["critical github-pat <github-pat>.txt", "critical aws-access-key backup_<aws-access-key>_old"], "{}", scanned.out);
    assert!(!scanned.out.contains(&github_token()) && !scanned.out.contains(&cloud_key()));
    assert_eq!(scanned.code, Some(1));
}

#[test]
fn files_that_look_binary_are_looked_at() {
    let noise: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(format!("set TOKEN={}\r\n", github_token()).encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let repository = Repository::new();
    repository
        .file("app.bin", [&noise[..], b"\0\0\0", cloud_key().as_bytes(), b"\0", &noise[..]].concat())
        .file("setup.reg", utf16)
        .file("min.js", format!("{}\"{}\";", "var a=1;".repeat(400_000), github_token()))
        .commit();
    let scanned = repository.scan(&[]);
    let found: Vec<String> = scanned.found().iter().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(found, ["critical aws-access-key app.bin", "critical github-pat min.js", "critical github-pat setup.reg"], "{}", scanned.out);
    assert!(scanned.out.contains("min.js:1:3200002"), "{}", scanned.out);
}

#[test]
fn a_clean_repository_is_silent() {
    let repository = Repository::new();
    let public = format!("-----{} PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n", "BEGIN");
    let example = ["AKI", "A", "IOSFODNN7EXAMPLE"].concat();
    repository
        .file("Cargo.lock", format!("checksum = \"{}\"\n", "0123456789abcdef".repeat(4)))
        .file("pipeline.yaml", "env: { TABLE: orders, API_KEY: { secret: checkout-api-key } }\nlogin: { password: \"${DB_PASSWORD}\" }\n")
        .file("key.pub", public)
        .file("manual.md", format!("Keys look like {example}. Set `api_key: your-api-key-goes-here`.\n"))
        .file("code.py", "token = tokens.next_token()\nsecret = os.environ['SECRET_NAME']\nid = 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'\n")
        .file("empty", "")
        .commit();
    let scanned = repository.scan(&["--sarif", "findings.sarif"]);
    assert_eq!(scanned.found(), Vec::<String>::new(), "{}", scanned.out);
    assert_eq!((scanned.code, scanned.err.as_str()), (Some(0), ""));
    assert!(scanned.sum().starts_with("0 findings in 6 files"), "{}", scanned.out);
    let sarif: Value = serde_json::from_slice(&fs::read(repository.path().join("findings.sarif")).unwrap()).unwrap();
    assert_eq!(sarif["runs"][0]["results"], serde_json::json!([]));
}

#[test]
fn links_are_not_followed_and_git_is_not_read() {
    let outside = planted();
    let repository = Repository::new();
    repository.file("a", "a").file(".git/leftover", github_token());
    std::os::unix::fs::symlink(outside.path(), repository.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(".", repository.path().join("loop")).unwrap();
    let scanned = repository.scan(&[]);
    assert_eq!((scanned.code, scanned.found()), (Some(0), Vec::new()), "{}", scanned.out);
    // Where a link points to is part of the commit, though.
    std::os::unix::fs::symlink(format!("/x/{}", github_token()), repository.path().join("tell")).unwrap();
    assert_eq!(repository.scan(&[]).found(), ["critical github-pat tell:1:4"]);
}

#[test]
fn what_is_no_file_is_named_and_the_scan_does_not_pass() {
    let repository = Repository::new();
    repository.file("a", "a");
    assert!(Command::new("mkfifo").arg(repository.path().join("pipe")).status().unwrap().success());
    for arguments in [&[][..], &["pipe"]] {
        let scanned = repository.scan(arguments);
        assert_eq!(scanned.code, Some(4), "{}", scanned.out);
        assert!(scanned.out.contains("not scanned: pipe (neither a file, a folder nor a link)"), "{}", scanned.out);
    }
}

#[test]
fn what_git_ignores_is_left_out_unless_it_is_tracked() {
    let repository = Repository::new();
    repository.file(".gitignore", "/build/\n*.log\n").file("build/kept.txt", github_token()).commit();
    repository.file("build/junk.txt", cloud_key()).file("x.log", cloud_key());
    let scanned = repository.scan(&[]);
    assert_eq!(scanned.found(), ["critical github-pat build/kept.txt:1:1"], "{}", scanned.out);
    assert!(scanned.sum().ends_with("2 files or folders left out that git ignores"), "{}", scanned.out);
    // Named, it is looked at.
    assert_eq!(repository.scan(&["x.log"]).found(), ["critical aws-access-key x.log:1:1"]);
}

/// A commit holds no `.git`. It can hold what a repository is made of, and a list of what that one ignores: everything.
#[test]
fn a_commit_that_looks_like_a_repository_leaves_nothing_out() {
    let repository = Repository::new();
    fs::remove_dir_all(repository.path().join(".git")).unwrap();
    for file in ["objects/keep", "refs/keep"] {
        repository.file(file, "");
    }
    repository.file("HEAD", "ref: refs/heads/main\n").file("config", "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n");
    repository.file(".gitignore", "*\n").file("leak", cloud_key());
    let scanned = repository.scan(&[]);
    assert_eq!((scanned.code, scanned.found()), (Some(1), vec!["critical aws-access-key leak:1:1".to_owned()]), "{}", scanned.out);
}

#[test]
fn a_finding_is_allowed_by_its_fingerprint_and_the_next_secret_is_not() {
    let repository = planted();
    let fingerprints = repository.scan(&[]).fingerprints();
    assert_eq!(fingerprints.len(), 3);
    let list: String = fingerprints.iter().map(|fingerprint| format!("{fingerprint} # an example\n")).collect();
    repository.file(".tidegate/secrets-allow", list);
    let scanned = repository.scan(&[]);
    assert_eq!((scanned.code, scanned.found()), (Some(0), Vec::new()), "{}", scanned.out);
    assert!(scanned.sum().contains("3 more findings allowed"), "{}", scanned.out);
    assert_eq!(scanned.out.matches("\nallowed: ").count() + usize::from(scanned.out.starts_with("allowed: ")), 3, "{}", scanned.out);
    assert!(scanned.out.contains("allowed: github-pat docs/notes.md:3:5"), "who reviews a change sees what it allows: {}", scanned.out);

    // Moved down and to another file: still the same. Replaced: another one, and the entry is stale.
    repository.file("docs/notes.md", "nothing").file("docs/moved.md", format!("\n\n\n\n{}\n", github_token()));
    assert_eq!(repository.scan(&[]).code, Some(0));
    repository.file("docs/moved.md", github_token().replace("x7", "y8"));
    let scanned = repository.scan(&[]);
    assert_eq!(scanned.found(), ["critical github-pat docs/moved.md:1:1"]);
    assert!(scanned.out.contains(".tidegate/secrets-allow:2: allows nothing that is there"), "{}", scanned.out);
}

#[test]
fn the_gate_fails_at_and_above_its_severity() {
    let repository = Repository::new();
    repository.file("app.ini", ["api_key = 7f3b9c2e", "5d8a4f1e6b0c\n"].concat());
    let scanned = repository.scan(&["--fail", "high"]);
    assert_eq!((scanned.code, scanned.found()), (Some(0), vec!["medium generic-api-key app.ini:1:11".to_owned()]), "{}", scanned.out);
    assert_eq!(repository.scan(&["--fail", "medium"]).code, Some(1));
}

#[test]
fn what_is_wrong_with_the_command_says_what_to_do() {
    let repository = Repository::new();
    let missing = repository.scan(&["nowhere"]);
    assert_eq!(missing.code, Some(2));
    assert_eq!(missing.err, "error: there is no file or folder nowhere: name what is to be scanned\n");
    repository.file(".tidegate/secrets-allow", "src/main.rs\n");
    let list = repository.scan(&[]);
    assert_eq!(list.code, Some(2));
    assert!(list.err.contains(".tidegate/secrets-allow: line 1: expected the 32 hex digits of a fingerprint"), "{}", list.err);
}

#[test]
fn names_from_outside_can_not_move_the_cursor() {
    let repository = Repository::new();
    repository.file("a\u{1b}[2Jb\u{202e}c\n.txt", github_token()).commit();
    let scanned = repository.scan(&["--color", "never"]);
    assert_eq!(scanned.code, Some(1));
    assert!(!scanned.out.contains('\u{1b}') && !scanned.out.contains('\u{202e}'), "{}", scanned.out);
    assert_eq!(scanned.found(), ["critical github-pat a\u{fffd}[2Jb\u{fffd}c\u{fffd}.txt:1:1"]);
}

#[test]
fn json_is_one_object_a_line() {
    let repository = planted();
    let scanned = repository.scan(&["--json"]);
    let lines: Vec<Value> = scanned.out.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1]["finding"]["path"], "docs/notes.md");
    assert_eq!(lines[3]["summary"]["findings"], 3);
}

/// The quick start scans this repository, so it has to be clean, this file included.
#[test]
fn this_repository_is_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name();
        if name != ".git" && name != "target" {
            folders.push(name.into());
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("scan").args(&folders).current_dir(root).output().unwrap();
    let scanned = Scanned::of(&output);
    assert_eq!((scanned.code, scanned.found()), (Some(0), Vec::new()), "{}{}", scanned.out, scanned.err);
}
