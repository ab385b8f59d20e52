//! Sees the first line of each run the moment it is on disk: the kernel tells, nobody looks again and again.

use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::SystemTime;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tidegate::model::id::RunId;
use tidegate::model::time::Timestamp;

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_micros(u64::try_from(since.as_micros()).expect("before the year 500000"))
}

/// Of every run whose log begins from here on, and when. Its thread ends with the program.
pub fn first_lines(state: &Path) -> mpsc::Receiver<(RunId, Timestamp)> {
    let runs = state.join("runs");
    std::fs::create_dir_all(&runs).expect("the folder of runs");
    let watch = inotify::init(CreateFlags::CLOEXEC).expect("inotify");
    let root = inotify::add_watch(&watch, &runs, WatchFlags::CREATE).expect("a watch");
    let (sender, seen) = mpsc::sync_channel(1024);
    std::thread::spawn(move || {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&watch, &mut buffer);
        let mut folders: HashMap<i32, PathBuf> = HashMap::new();
        let mut told: HashSet<PathBuf> = HashSet::new();
        loop {
            let Ok(event) = events.next() else { continue };
            let folder = if event.wd() == root {
                let Some(name) = event.file_name() else { return };
                let folder = runs.join(name.to_string_lossy().into_owned());
                let Ok(inside) = inotify::add_watch(&watch, &folder, WatchFlags::MODIFY) else { continue };
                folders.insert(inside, folder.clone());
                folder
            } else if let Some(folder) = folders.get(&event.wd()) {
                folder.clone()
            } else {
                continue;
            };
            // What was written before it was watched is found as well.
            if !told.contains(&folder) && has_a_line(&folder) {
                let run = folder.file_name().expect("a name").to_string_lossy().into_owned();
                told.insert(folder);
                if sender.send((RunId::new(run), now())).is_err() {
                    return;
                }
            }
        }
    });
    seen
}

fn has_a_line(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let logs = entries.iter().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "log"));
    logs.into_iter().any(|log| std::fs::read(log.path()).is_ok_and(|text| text.contains(&b'\n')))
}

/// Of one process: seconds of a processor so far, in ticks of 10 ms.
pub fn cpu(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}

/// Of one process: what is resident, in MB.
pub fn resident(pid: i32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0 / 1e6
}
