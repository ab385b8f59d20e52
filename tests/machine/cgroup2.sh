#!/usr/bin/env bash
# The limits of steps, on a machine that has control groups of version 2 only: a virtual one (QEMU, without KVM: it needs no right and no network) with Debian's
# kernel, which sees this machine's files, read-only, and this working tree's test binary.
#
#   tests/machine/cgroup2.sh                  builds the tests, boots, runs the stories of tests/attacks/bombs.rs that need groups in each of those below
#   tests/machine/cgroup2.sh a_fork_bomb …    … only the stories with this in their names
#   KILLS=20 tests/machine/cgroup2.sh         … and the kills of tests/scenario/survivors.rs, so many, in those that are handed over
#
# As root in the first group of the machine; as root in a service's group with a limit of its own, which is handed over (`Delegate=yes`), with the program alone in
# it; as an ordinary user in a group that is handed over to him; as one who has nothing. The last line says how it went; the exit code is 0 only when all was well.
#
# Needs qemu-system-x86_64, a static busybox, and one Debian kernel package (downloaded by apt into the cache, unpacked, never installed).

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=../../.ci/environment
source .ci/environment
# shellcheck source=kernel.sh
source tests/machine/kernel.sh
find_cache

readonly MEMORY_MB=2048 LIMIT_SECONDS="${LIMIT_SECONDS:-1500}" KILLS="${KILLS:-0}"
(($# > 0)) || set -- bombs::a_fork_bomb bombs::a_memory_bomb bombs::memory_hidden bombs::processors bombs::no_group
readonly FILTERS="$*"

for tool in qemu-system-x86_64 busybox dpkg:dpkg; do
  command -v "${tool%%:*}" >/dev/null 2>&1 || { say "missing: ${tool%%:*} (apt-get install qemu-system-x86 busybox-static)"; exit 2; }
done

scratch="$(mktemp -d "${TMPDIR:-/tmp}/tidegate-cgroup2.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT

# Where cargo has put the test binary of this name.
built() {
  cargo test --locked --test "$1" --no-run --message-format=json 2>/dev/null | sed -n "s/.*\"name\":\"$1\".*\"executable\":\"\([^\"]*\)\".*/\1/p" | tail -1
}
attacks="$(built attacks)" scenario="$(built scenario)"
[[ -x "$attacks" && -x "$scenario" ]] || { say "the tests do not build: cargo test --no-run"; exit 2; }
program="$CARGO_TARGET_DIR/debug/tidegate"
folder=""
find_kernel

# What boots: the modules that the host's files are seen through, and a script.
boot="$scratch/boot"
mkdir -p "$boot"/{bin,modules,proc,sys,dev,host,over,root}
cp "$(command -v busybox)" "$boot/bin/busybox"
copy_modules "$folder" "$boot/modules"

first_script >"$boot/init"
cat >>"$boot/init" <<INIT
cd /root
for place in proc sys dev tmp; do \$b mkdir -p /root/\$place; done
\$b mount -t proc proc /root/proc; \$b mount -t sysfs sys /root/sys; \$b mount --bind /dev /root/dev
\$b mkdir -p /root/dev/pts /root/dev/shm; \$b mount -t devpts pts /root/dev/pts; \$b mount -t tmpfs -o mode=1777 shm /root/dev/shm
\$b mount -t tmpfs -o mode=1777,size=60% tmp /root/tmp
\$b mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
\$b ifconfig lo 127.0.0.1 up
\$b cp /stories /root/tmp/stories; \$b chmod 755 /root/tmp/stories
# Not by chroot: a process in one may make no user namespaces.
\$b cp /bin/busybox /root/tmp/busybox
exec \$b switch_root /root /bin/sh /tmp/stories
INIT
chmod 755 "$boot/init"

# Each runs the stories in a group of its own, and says what came of it.
cat >"$boot/stories" <<STORIES
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp TERM=dumb TIDEGATE_UNDER_TEST=/tmp/tidegate TIDEGATE_TEST_SKIPS=/tmp/skips
cp "$program" /tmp/tidegate; cp "$attacks" /tmp/tests; cp "$scenario" /tmp/scenario; chmod 755 /tmp/tidegate /tmp/tests /tmp/scenario; : >/tmp/skips; chmod 666 /tmp/skips
cd /tmp; root=/sys/fs/cgroup
uname -r; cat \$root/cgroup.controllers
story() { # name, group, user; no: nothing is held there
  name=\$1 group=\$2 user=\$3 hold=\${4:-yes}
  rm -rf "/tmp/\$name"; mkdir -p "/tmp/\$name"; chown "\$user:\$user" "/tmp/\$name"
  cat >/tmp/go <<GO
echo \\\$\\\$ > \$group/cgroup.procs || exit 9
cd /tmp/\$name
export TMPDIR=/tmp/\$name HOME=/tmp/\$name
as() { if [ \$user = 0 ]; then "\\\$@"; else setpriv --reuid \$user --regid \$user --clear-groups "\\\$@"; fi; }
as /tmp/tidegate doctor 2>&1 | grep -i -A1 cgroups
cat /proc/self/cgroup
[ \$hold = no ] || export TIDEGATE_TEST_LIMITS_HELD=1
as /tmp/tests --test-threads 2 $FILTERS || exit
case \$name in delegated-*) [ $KILLS = 0 ] || as env TIDEGATE_TEST_KILLS=$KILLS /tmp/scenario --nocapture survivors::two_hundred ;; esac
GO
  echo "CGROUP2 BEGIN \$name"
  before=\$(cut -d. -f1 /proc/uptime)
  sh /tmp/go; code=\$?
  left=\$(find \$root -type d -name 'tidegate-[0-9]*')
  [ -z "\$left" ] || { echo "left: \$left"; code=8; }
  echo "CGROUP2 RESULT \$name \$code after \$((\$(cut -d. -f1 /proc/uptime) - before)) s"
}
enable() { for one in memory pids cpu; do echo +\$one > \$1/cgroup.subtree_control; done; }

story first-group \$root 0
enable \$root; mkdir \$root/system.slice; enable \$root/system.slice
# A service that was handed over, as systemd marks it, with a limit of its own.
mkdir \$root/system.slice/ci.service; echo 1500M > \$root/system.slice/ci.service/memory.max
python3 -c "import os; os.setxattr('\$root/system.slice/ci.service', 'trusted.delegate', b'1')"
story delegated-service \$root/system.slice/ci.service 0
echo "below the service: \$(cat \$root/system.slice/ci.service/cgroup.subtree_control)"
# The same for a user: the folder and the files that the kernel's documentation names are his.
own=\$root/system.slice/user.service; mkdir \$own; chown 54321:54321 \$own \$own/cgroup.procs \$own/cgroup.threads \$own/cgroup.subtree_control
story delegated-user \$own 54321
echo "below the user's: \$(cat \$own/cgroup.subtree_control)"
mkdir \$root/system.slice/plain.service
story plain-user \$root/system.slice/plain.service 54321 no
echo "CGROUP2 END"
/tmp/busybox poweroff -f
STORIES

(cd "$boot" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$scratch/initrd"
say "booting $(basename "$folder")"
timeout --kill-after=5 "$LIMIT_SECONDS" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m "$MEMORY_MB" -nodefaults -no-reboot -display none \
  -serial stdio -monitor none -net none \
  -kernel "$(echo "$folder"/boot/vmlinuz-*)" -initrd "$scratch/initrd" -append "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off" \
  -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap </dev/null 2>&1 | tee "$scratch/said" || true

# In every group all went well; all hold their limits but whoever has nothing.
code=0
for name in first-group delegated-service delegated-user plain-user; do
  grep -q "CGROUP2 RESULT $name 0 " "$scratch/said" || { say "failed: $name"; code=1; }
done
((code == 0)) && say "cgroup v2: all groups passed"
exit "$code"
