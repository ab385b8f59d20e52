//! System calls that reach out: each does something for anybody when there is no filter, and nothing when there is one. Numbers are those of x86-64.

use tidegate::adapters::sandbox::Protection;

use crate::support::{attacks, refused_twice, without_and_with};

attacks! {
    a_key_for_whoever_comes_next: [Seccomp], "attempt(lambda: syscall(248, b'user', b'left', b'behind', 6, -5))" => "EPERM";
    a_key_of_somebody_elses: [Seccomp], "call('syscall', 248, b'user', b'mine', b'x', 1, -3); attempt(lambda: syscall(249, b'user', b'mine', 0, 0))" => "EPERM";
    a_session_keyring: [Seccomp], "attempt(lambda: syscall(250, 0, -3, 1))" => "EPERM";
    a_page_fault_handler: [Seccomp], "reach(lambda: syscall(323, 1))" => "EPERM";
    a_kernel_ring: [Seccomp], "reach(lambda: syscall(425, 1, ctypes.create_string_buffer(120)))" => "EPERM";
    a_watch_on_a_file_system: [Seccomp], "reach(lambda: syscall(300, 0x200, 0))" => "EPERM";
    a_file_handle: [Seccomp], "handle = ctypes.create_string_buffer(b'\\x80\\0\\0\\0', 200); attempt(lambda: syscall(303, -100, b'/tmp', handle, ctypes.byref(ctypes.c_int()), 0))" => "EPERM";
    a_descriptor_of_another_process: [Seccomp], "attempt(lambda: syscall(438, os.pidfd_open(os.getpid()), 0, 0))" => "EPERM";
    a_comparison_of_kernel_pointers: [Seccomp], "reach(lambda: syscall(312, os.getpid(), os.getpid(), 1, 0, 0))" => "EPERM";
    a_local_descriptor_table: [Seccomp], "reach(lambda: syscall(154, 0, ctypes.create_string_buffer(16), 16))" => "EPERM";
    a_privilege_level_for_ports: [Seccomp], "reach(lambda: syscall(172, 0))" => "EPERM";
    a_port: [Seccomp], "reach(lambda: syscall(173, 0x80, 1, 0))" => "EPERM";
    a_look_at_how_the_clock_is_adjusted: [Seccomp], "attempt(lambda: syscall(159, ctypes.create_string_buffer(256)))" => "EPERM";
    a_list_of_file_systems_from_old_times: [Seccomp], "reach(lambda: syscall(139, 3))" => "EPERM";
    a_counter_of_the_processor: [Seccomp], "event = ctypes.create_string_buffer(120)
# Software, 120 bytes long, the time of this process's own code only.
event[0:8] = bytes([1, 0, 0, 0, 120, 0, 0, 0]); event[8:16] = bytes([1, 0, 0, 0, 0, 0, 0, 0]); event[40:48] = bytes([0x60, 0, 0, 0, 0, 0, 0, 0])
reach(lambda: syscall(298, event, 0, -1, -1, 0))" => "EPERM";
    pages_moved_between_memories: [Seccomp], "attempt(lambda: syscall(279, 0, 0, 0, 0, 0, 0))" => "EPERM";
    a_netlink_family_that_is_no_route: [Seccomp], "attempt(lambda: socket.socket(16, 3, 15))" => "EPERM";
    a_crypto_socket: [Seccomp], "reach(lambda: call('socket', 38, 5, 0))" => "EPERM";
    a_socket_to_the_hypervisor: [Seccomp], "reach(lambda: call('socket', 40, 1, 0))" => "EPERM";
}

refused_twice! {
    a_file_by_its_handle: [Seccomp, Capabilities], "handle = ctypes.create_string_buffer(b'\\x80\\0\\0\\0', 200)
open('/tmp/file', 'w')
syscall(303, -100, b'/tmp/file', handle, ctypes.byref(ctypes.c_int()), 0)
attempt(lambda: syscall(304, os.open('/tmp', os.O_RDONLY), handle, 0))" => "EPERM";
    a_clock_set: [Seccomp], "import time\nattempt(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))" => "EPERM";
    a_clock_set_in_the_old_way: [Seccomp], "attempt(lambda: syscall(164, (ctypes.c_long * 2)(1 << 30, 0), 0))" => "EPERM";
    a_clock_steered: [Seccomp], "attempt(lambda: syscall(159, ctypes.create_string_buffer(b'\\1', 256)))" => "EPERM";
    a_kernel_module: [Seccomp], "attempt(lambda: syscall(175, b'module', 6, b''))" => "EPERM";
    a_kernel_module_from_a_file: [Seccomp], "attempt(lambda: syscall(313, 0, b'', 0))" => "EPERM";
    a_kernel_module_taken_out: [Seccomp], "attempt(lambda: syscall(176, b'none', 0))" => "EPERM";
    another_kernel: [Seccomp], "attempt(lambda: syscall(246, 0, 0, 0, 0))" => "EPERM";
    a_restart_of_the_machine: [Seccomp], "attempt(lambda: syscall(169, 0xfee1dead, 672274793, 0x1234567, 0))" => "EPERM";
    swap_on_a_file: [Seccomp], "attempt(lambda: syscall(167, b'/workspace/readme', 0))" => "EPERM";
    swap_taken_away: [Seccomp], "attempt(lambda: syscall(168, b'/workspace/readme'))" => "EPERM";
    an_account_of_everybodys_processes: [Seccomp], "attempt(lambda: syscall(163, b'/workspace/readme'))" => "EPERM";
    quotas_switched_off: [Seccomp], "attempt(lambda: syscall(179, 0x800003 << 8, b'/dev/null', 0, 0))" => "EPERM";
    a_program_in_the_kernel: [Seccomp], "attempt(lambda: syscall(321, 11, ctypes.create_string_buffer(128), 128))" => "EPERM";
    the_kernels_log: [Seccomp], "attempt(lambda: syscall(103, 5, 0, 0))" => "EPERM";
    a_hangup_of_the_terminal: [Seccomp], "attempt(lambda: syscall(153))" => "EPERM";
}

/// Calls of a 32-bit program have other numbers, which the filter would take for harmless ones.
#[tokio::test]
async fn system_calls_of_32_bits_are_no_way_around() {
    // mov eax, 20 (getpid); int 0x80; ret
    let script = "import mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')
child = os.fork()
if child == 0:
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    os._exit(0)
print('killed by', os.WTERMSIG(os.waitpid(child, 0)[1]))";
    let (without, with) = without_and_with(&[Protection::Seccomp], script).await;
    // SIGSYS is 31. Without the filter it is what the kernel thinks of such calls: it answers them, or has none (SIGSEGV).
    assert_ne!(without, "killed by 31\n");
    assert_eq!(with, "killed by 31\n");
}

#[tokio::test]
async fn system_calls_with_the_bit_of_the_third_abi_are_no_way_around() {
    let script = "print(syscall(0x40000000 + 248, b'user', b'x', b'x', 1, -3), syscall(0x40000000 + 39))";
    let (without, with) = without_and_with(&[Protection::Seccomp], script).await;
    assert!(!without.contains("EPERM"), "{without}");
    assert_eq!(with, "EPERM EPERM\n");
}
