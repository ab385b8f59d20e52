//! What Tidegate has in memory: an idle server, and what each running invocation takes: `cargo bench --bench memory`. Needs root, as the parts that run for a
//! step can not be looked at by anybody else.
//!
//! PSS is what a process has for itself and its share of what it shares with others (the program's text, what a fork has not changed yet). Measured when
//! everything stands and waits; the steps sleep.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::World;

const MOST: usize = 50;

fn main() {
    println!("| what | processes | PSS, MB | RSS, MB | private, MB |\n|---|---:|---:|---:|---:|");
    idle();
    for at_once in [1, MOST] {
        running(at_once);
    }
}

fn idle() {
    let world = World::with(&[("readme", "hello\n")]);
    let mut server = world.start(&["serve", "--listen", "127.0.0.1:0"]);
    until("the server stands", || count(&server, |role| role == "tidegate") == 1);
    std::thread::sleep(Duration::from_secs(2));
    let parts = look(&server);
    print("idle `tidegate serve`", parts.values().fold(Memory::default(), Memory::and));
    for (role, memory) in parts {
        print(&format!("— {role}"), memory);
    }
    end(&mut server);
}

fn running(at_once: usize) {
    let mut pipeline = String::from("name: sleep\nsteps:\n");
    for number in 0..at_once {
        pipeline.push_str(&format!("  s{number}: {{ run: \"exec sleep 1000\" }}\n"));
    }
    let world = World::with(&[("sleep.yaml", &pipeline)]);
    let parallel = at_once.to_string();
    let mut run =
        world.command(&["run", "sleep.yaml", "--parallel", &parallel]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary");
    until("all steps run", || count(&run, |role| role == "the step") == at_once);
    std::thread::sleep(Duration::from_secs(2));
    let parts = look(&run);
    println!("| **{at_once} at once** | | | | |");
    let mut each = Memory::default();
    for (role, memory) in &parts {
        print(&format!("— {role}"), *memory);
        // What waits is there for the next ones.
        if ["supervisor", "helper", "init"].contains(role) {
            each = each.and(memory);
        }
    }
    let share = at_once as f64;
    println!(
        "| per invocation, without the step's own | {:.1} | {:.2} | {:.2} | {:.2} |",
        each.processes as f64 / share,
        megabytes(each.pss) / share,
        megabytes(each.rss) / share,
        megabytes(each.private) / share
    );
    end(&mut run);
}

/// Bytes.
#[derive(Debug, Default, Clone, Copy)]
struct Memory {
    processes: usize,
    pss: u64,
    rss: u64,
    private: u64,
}

impl Memory {
    fn and(self, other: &Self) -> Self {
        Self {
            processes: self.processes + other.processes,
            pss: self.pss + other.pss,
            rss: self.rss + other.rss,
            private: self.private + other.private,
        }
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn print(what: &str, memory: Memory) {
    let Memory { processes, pss, rss, private } = memory;
    println!("| {what} | {processes} | {:.2} | {:.2} | {:.2} |", megabytes(pss), megabytes(rss), megabytes(private));
}

/// Everything below a process, itself included, by what it is.
fn look(root: &Child) -> BTreeMap<&'static str, Memory> {
    let mut parts: BTreeMap<&'static str, Memory> = BTreeMap::new();
    for (pid, role) in roles(root.id()) {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let sum = |names: &[&str]| -> u64 {
            let of = |line: &str| {
                let (name, value) = line.split_once(':')?;
                names.contains(&name).then(|| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())?
            };
            text.lines().filter_map(of).sum::<u64>() * 1024
        };
        let (pss, rss, private) = (sum(&["Pss"]), sum(&["Rss"]), sum(&["Private_Clean", "Private_Dirty"]));
        assert!(rss > 0, "{role} ({pid}) can not be looked at: run this as root");
        let part = parts.entry(role).or_default();
        *part = part.and(&Memory { processes: 1, pss, rss, private });
    }
    parts
}

fn count(root: &Child, is: impl Fn(&str) -> bool) -> usize {
    roles(root.id()).into_iter().filter(|(_, role)| is(role)).count()
}

/// The processes below one, and what each is for: known from who its children are.
fn roles(root: u32) -> Vec<(u32, &'static str)> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut names: HashMap<u32, String> = HashMap::new();
    for pid in fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((before, after)) = stat.rsplit_once(')') else { continue };
        let parent = after.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        children.entry(parent).or_default().push(pid);
        names.insert(pid, before.split_once('(').map_or("", |(_, name)| name).to_owned());
    }
    let below = |pid: &u32| children.get(pid).map_or(&[][..], Vec::as_slice);
    let is_step = |pid: &u32| names.get(pid).is_some_and(|name| name == "sleep");
    let mut found = vec![(root, "tidegate")];
    for nursery in below(&root) {
        found.push((*nursery, "nursery"));
        let mut left = below(nursery).to_vec();
        while let Some(pid) = left.pop() {
            let inner = below(&pid);
            left.extend(inner);
            found.push((
                pid,
                match inner {
                    _ if is_step(&pid) => "the step",
                    [one, ..] if is_step(one) => "init",
                    [one, ..] if below(one).iter().any(is_step) => "helper",
                    [_, ..]
                        if below(nursery).contains(&pid) && !inner.iter().any(|one| below(one).iter().any(|two| below(two).iter().any(is_step))) =>
                    {
                        "waiting helper"
                    }
                    [] if !below(nursery).contains(&pid) => "waiting init",
                    _ => "supervisor",
                },
            ));
        }
    }
    found
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: not after a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// As Ctrl-C does.
fn end(process: &mut Child) {
    let killed = Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let _ = process.wait();
}
