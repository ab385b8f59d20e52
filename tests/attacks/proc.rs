//! What `/proc` gives away of the machine, of PID 1, and of tidegate's own program.

use tidegate::adapters::sandbox::Protection;

use crate::support::{Scene, attacks, program, refused_twice, without_and_with};

attacks! {
    the_kernels_command_line: [MaskedProc], "print('succeeded' if open('/proc/cmdline').read() else 'nothing')" => "nothing";
    keys_of_others: [MaskedProc], "print('succeeded' if open('/proc/keys').read() else 'nothing')" => "nothing";
    how_many_keys_others_have: [MaskedProc], "print('succeeded' if open('/proc/key-users').read() else 'nothing')" => "nothing";
    the_rhythm_of_interrupts: [MaskedProc], "print('succeeded' if open('/proc/interrupts').read() else 'nothing')" => "nothing";
    devices_on_the_bus: [MaskedProc], "print('succeeded' if os.listdir('/proc/bus') else 'nothing')" => "nothing";
    file_systems_of_the_host: [MaskedProc], "print('succeeded' if os.listdir('/proc/fs') else 'nothing')" => "nothing";
    addresses_in_the_kernel: [MaskedProc], "print('succeeded' if open('/proc/kallsyms').readline() else 'nothing')" => "nothing";
    processes_of_the_host: [FreshProc], "print('succeeded' if len([name for name in os.listdir('/proc') if name.isdigit()]) > 4 else 'few')" => "few";
    memory_of_init: [Untraceable], "attempt(lambda: os.open('/proc/1/mem', os.O_RDWR))" => "EACCES";
    files_of_init: [Untraceable], "attempt(lambda: os.listdir('/proc/1/fd'))" => "EACCES";
    a_root_by_init: [Untraceable], "attempt(lambda: os.listdir('/proc/1/root/'))" => "EACCES";
    init_traced: [Untraceable], "attempt(lambda: call('ptrace', 0x4206, 1, 0, 0))" => "EPERM";
    init_read_from_afar: [Untraceable], "local = (ctypes.c_ulong * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
maps = lambda: int(open('/proc/1/maps').read().split('-')[0], 16)
attempt(lambda: call('process_vm_readv', 1, local, 1, (ctypes.c_ulong * 2)(maps(), 8), 1, 0))" => "EACCES";
    the_program_that_made_it: [Untraceable, Landlock], "attempt(lambda: os.open('/proc/1/exe', os.O_RDONLY))" => "EACCES";
}

refused_twice! {
    what_the_kernel_runs_for_a_core: [Seccomp, Landlock, MaskedProc], "attempt(lambda: os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY))" => "EACCES";
    a_format_that_the_kernel_runs: [Seccomp, Landlock, MaskedProc], "attempt(lambda: os.open('/proc/sys/fs/binfmt_misc/register', os.O_WRONLY))" => "ENOENT";
    the_machines_timers: [Seccomp, Landlock, MaskedProc], "attempt(lambda: os.read(os.open('/proc/timer_list', os.O_RDONLY), 1) or 'nothing')" => "nothing";
    messages_of_the_kernel: [Seccomp, Landlock, MaskedProc], "attempt(lambda: os.open('/proc/kmsg', os.O_RDONLY))" => "EACCES";
    pages_of_the_machine: [Seccomp, Landlock, MaskedProc], "attempt(lambda: os.open('/proc/kpageflags', os.O_RDONLY))" => "EACCES";
    whom_the_kernel_kills_first: [Seccomp, Landlock, MaskedProc], "attempt(lambda: os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000'))" => "EACCES";
    who_it_is_outside: [Seccomp, Landlock, MaskedProc], "attempt(lambda: os.write(os.open('/proc/self/uid_map', os.O_WRONLY), b'0 0 1'))" => "EPERM";
}

/// Whether the kernel has them or not, and whoever may read them where it does.
#[tokio::test]
async fn what_a_machine_says_of_itself() {
    let names = "acpi asound bus cmdline fs interrupts kallsyms kcore key-users keys latency_stats sched_debug scsi timer_list timer_stats";
    let script =
        format!("cd /proc; for name in {names}; do if test -d $name; then ls -A $name; else head -c 9 $name 2>/dev/null; fi; done; echo done");
    assert_eq!(Scene::new().run(&script).await.text, "done\n");
    // And what tools ask for is there.
    let script = "cd /proc; for name in cpuinfo meminfo stat uptime loadavg mounts self/status sys/kernel/ostype version filesystems; do test -s $name || head -c1 $name >/dev/null || echo no $name; done";
    assert_eq!(Scene::new().run(script).await.text, "");
}

/// Whatever is written there goes nowhere: the magic keys are the host's.
#[tokio::test]
async fn the_machines_magic_keys() {
    let (without, with) = without_and_with(&[Protection::MaskedProc], "attempt(lambda: os.open('/proc/sysrq-trigger', os.O_WRONLY))").await;
    assert_eq!(without, if std::path::Path::new("/proc/sysrq-trigger").exists() { "EACCES\n" } else { "ENOENT\n" });
    // `/dev/null` under that name, or nothing.
    assert!(with == "succeeded\n" || with == "ENOENT\n", "{with}");
    let inside = Scene::new().run("cat /proc/sysrq-trigger; echo b > /proc/sysrq-trigger; echo alive").await;
    assert!(inside.text.ends_with("alive\n"), "{}", inside.text);
}

/// The way out of runc (CVE-2019-5736): the file of the program that made the sandbox, written through a process's own link to it.
#[tokio::test]
async fn the_program_that_made_it_written_to() {
    let before = std::fs::read(program()).unwrap();
    let script = "
for path in '/proc/1/exe', '/run/tidegate/bin/tidegate':
    attempt(lambda: os.open(path, os.O_WRONLY))
# Held open until nobody runs it: it is opened anew through the descriptor.
attempt(lambda: os.open('/proc/self/fd/%d' % os.open('/proc/1/exe', os.O_RDONLY), os.O_WRONLY))";
    for lifted in [vec![Protection::Untraceable, Protection::Landlock], Vec::new()] {
        let mut scene = Scene::new();
        scene.spec.lifted = lifted;
        scene.spec.read_only.push(tidegate::adapters::sandbox::Bind { source: program(), target: "/run/tidegate/bin/tidegate".into() });
        let said = scene.python(script).await.text;
        assert!(!said.contains("succeeded") && said.lines().count() == 3, "{said}");
    }
    assert!(std::fs::read(program()).unwrap() == before);
}
