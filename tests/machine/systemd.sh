#!/usr/bin/env bash
# The units of packaging/systemd under a systemd that is a machine's first process: a virtual one (QEMU, without KVM: it needs no right and no network) with Debian's
# kernel and control groups of version 2, which boots this machine's own systemd from this machine's files, seen read-only, with a layer of memory on top.
#
#   tests/machine/systemd.sh          installs the units as docs/operations.md says, and looks at what is promised there: some minutes
#   tests/machine/systemd.sh here     the same in namespaces of this machine, as root: half a minute, and no limits of steps where the groups are of version 1
#
# The last line says how it went; the exit code is 0 only when all was well, and 2 where it can not be tried. Needs systemd, qemu-system-x86_64, a static busybox, curl, python3, and one Debian kernel
# package (downloaded by apt into the cache, unpacked, never installed).

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=../../.ci/environment
source .ci/environment
# shellcheck source=kernel.sh
source tests/machine/kernel.sh
find_cache

readonly WAY="${1:-machine}"
case "$WAY" in machine | here) ;; *) say "machine or here?"; exit 2 ;; esac
readonly MEMORY_MB=2048 LIMIT_SECONDS="${LIMIT_SECONDS:-1500}"
needed=(curl python3 git strip setpriv)
[[ "$WAY" == here ]] || needed+=(qemu-system-x86_64 busybox dpkg)
for tool in "${needed[@]}"; do
  command -v "$tool" >/dev/null 2>&1 || { say "missing: $tool (apt-get install qemu-system-x86 busybox-static curl python3 git binutils)"; exit 2; }
done
[[ "$WAY" == machine || "$EUID" == 0 ]] || { say "missing: root"; exit 2; }
[[ -x /lib/systemd/systemd ]] || { say "missing: systemd (apt-get install systemd)"; exit 2; }

scratch="$(mktemp -d "${TMPDIR:-/tmp}/tidegate-systemd.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT

folder=""
[[ "$WAY" == here ]] || find_kernel
program="${TIDEGATE_PROGRAM:-$CARGO_TARGET_DIR/debug/tidegate}"
[[ -n "${TIDEGATE_PROGRAM:-}" ]] || cargo build --locked --quiet --bin tidegate

boot="$scratch/boot"
mkdir -p "$boot"/{bin,modules,proc,sys,dev,host,over,root,given/units}
[[ "$WAY" == here ]] || cp "$(command -v busybox)" "$boot/bin/busybox"
echo "$WAY" >"$boot/given/way"
# The program without what a debugger wants of it: all of it is in memory.
strip -o "$boot/given/tidegate" "$program"
cp packaging/systemd/* "$boot/given/units/"
# What a machine does at its start and this one has no use for: here it would take minutes.
masks=(systemd-udevd systemd-udev-trigger systemd-udev-settle systemd-hwdb-update systemd-journal-flush systemd-timesyncd systemd-random-seed systemd-update-utmp
  systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-sysusers systemd-sysctl systemd-modules-load systemd-binfmt systemd-machine-id-commit ldconfig)
[[ "$WAY" == here ]] || copy_modules "$folder" "$boot/modules"

# Makes a root of this machine's files with a layer on top into one whose first process is systemd, with the story as all that it has to do.
cat >"$boot/prepare" <<PREPARE
root=\$1 b=\$2 output=\$3
# Nothing that this machine has been told to start, nor what says that it is a container, for which systemd reads no kernel command line.
\$b rm -rf \$root/.dockerenv \$root/run/.containerenv \$root/run/systemd \$root/etc/systemd/system \$root/etc/fstab \$root/etc/machine-id
\$b mkdir -p \$root/etc/systemd/system \$root/given
echo 0123456789abcdef0123456789abcdef > \$root/etc/machine-id
for unit in ${masks[*]}; do \$b ln -s /dev/null \$root/etc/systemd/system/\$unit.service; done
for place in proc sys dev tmp run var/lib/tidegate; do \$b mkdir -p \$root/\$place; done
# A workspace's own layer can not stand on the layer that the root has.
\$b mount -t tmpfs -o mode=755,size=60% state \$root/var/lib/tidegate
\$b chmod -R go+rX \$root/given
\$b cat > \$root/etc/systemd/system/story.service <<UNIT
[Unit]
Description=the story
After=sysinit.target dbus.socket
Wants=dbus.socket
[Service]
Type=oneshot
TimeoutStartSec=infinity
StandardOutput=\$output
StandardError=inherit
ExecStart=/given/story
UNIT
\$b cat > \$root/etc/systemd/system/story.target <<UNIT
[Unit]
Requires=sysinit.target
After=sysinit.target
Wants=story.service
UNIT
\$b ln -s story.target \$root/etc/systemd/system/default.target
PREPARE

first_script >"$boot/init"
cat >>"$boot/init" <<INIT
\$b mkdir -p /root/given; \$b cp -r /given/. /root/given
\$b sh /prepare /root \$b file:/dev/ttyS0
echo 'ExecStopPost=/bin/busybox poweroff -f' >> /root/etc/systemd/system/story.service
\$b mount --move /proc /root/proc; \$b mount --move /sys /root/sys; \$b mount --move /dev /root/dev
cd /root
exec \$b switch_root /root /lib/systemd/systemd
INIT
chmod 755 "$boot/init"

cat >"$boot/given/story" <<'STORY'
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb SYSTEMD_COLORS=0 SYSTEMD_PAGER=cat
tell() { echo "SYSTEMD $*"; }
good() { tell "ok: $1"; }
bad() { tell "BAD: $1"; journalctl --no-pager -o cat -n 40 -u tidegate.service; }
holds() { local what="$1"; shift; if "$@" >/tmp/said 2>&1; then good "$what"; else bad "$what"; cat /tmp/said; fi; }
state() { systemctl show --value -p "$1" "${2:-tidegate.service}"; }
until_is() { for _ in $(seq 1 600); do [ "$(state "$1" "${3:-}")" = "$2" ] && return 0; sleep 0.5; done; echo "$1 is $(state "$1"), not $2"; return 1; }
ask() { curl --silent --output /dev/null --write-out '%{http_code}' --max-time 280 "http://127.0.0.1:$1"; }

tell "$(systemctl --version | head -1), Linux $(uname -r), $(cat /proc/1/comm) is process 1, $(stat -fc %T /sys/fs/cgroup)"

# As docs/operations.md says it.
useradd --system --home-dir /var/lib/tidegate --shell /usr/sbin/nologin tidegate
install -m 0755 /given/tidegate /usr/bin/tidegate
install -m 0644 /given/units/* /etc/systemd/system/
install -d -m 0750 -g tidegate /etc/tidegate && touch /etc/tidegate/settings.yaml
systemctl daemon-reload

verified="$(systemd-analyze verify /etc/systemd/system/tidegate.service /etc/systemd/system/tidegate.socket /etc/systemd/system/tidegate-gateway.socket 2>&1 | grep -v DelegateSubgroup)"
[ -z "$verified" ] && good "systemd-analyze verify has nothing to say" || { bad "systemd-analyze verify"; echo "$verified"; }

# Socket activation.
systemctl enable --now tidegate.socket tidegate-gateway.socket 2>&1
[ "$(state ActiveState)" = inactive ] && good "the sockets are open and nothing runs" || bad "the service runs already: $(state ActiveState)"
[ "$(ask 7071/healthz)" = 200 ] && good "the first request starts the service, and is answered" || bad "the first request"
holds "Type=notify: it is active when it says so" until_is ActiveState active
[ "$(state Type)/$(state NotifyAccess)" = notify/main ] || bad "$(state Type)"
[ "$(ask 7070/)" = 200 ] && good "the gateway's socket is served" || bad "the gateway's socket"
tell "$(systemd-analyze security --no-pager tidegate.service | tail -1)"
tell "it runs as $(ps -o user= -p "$(state MainPID)"), in $(cut -d: -f3 </proc/"$(state MainPID)"/cgroup), with $(grep -h CapBnd /proc/"$(state MainPID)"/status | tr -s '\t' ' ')"
systemctl enable --now tidegate.service 2>&1

# Steps, in what the unit leaves: the server goes on with the run of a process that dies.
mkdir -p /var/lib/tidegate/repository/.tidegate && cd /var/lib/tidegate/repository
cat >.tidegate/ci.yaml <<'PIPELINE'
name: ci
on: { manual: {} }
steps:
  before: { run: "sleep 5" }
  inside:
    needs: [before]
    resources: { memory: 300MiB, pids: 50 }
    run: |
      id -u; cat /proc/self/cgroup; touch here; python3 -c 'print(6 * 7)'
      test ! -e /var/lib/tidegate && ! ls /etc/tidegate 2>/dev/null && echo apart
      echo '# Said' > "$TIDEGATE_SUMMARY"
  long:
    needs: [inside]
    run: echo begun; n=0; while [ $n -lt 12 ]; do sleep 1; n=$((n+1)); done; echo ended
  after: { needs: [long], run: "echo after" }
PIPELINE
export HOME=/var/lib/tidegate GIT_CONFIG_GLOBAL=/dev/null
git init -q . && git -c user.name=a -c user.email=a@b add -A && git -c user.name=a -c user.email=a@b commit -qm begin
chown -R tidegate:tidegate /var/lib/tidegate/repository
own() { setpriv --reuid tidegate --regid tidegate --clear-groups env HOME=/var/lib/tidegate TIDEGATE_STATE_DIR=/var/lib/tidegate tidegate "$@"; }
facts() { own runs show latest --json 2>/dev/null; }
fact() { facts | grep -q "\"$1\".*\"node\":\"$2\""; }
until_fact() { for _ in $(seq 1 600); do fact "$1" "$2" && return 0; sleep 0.5; done; facts | tail -5; return 1; }
systemctl stop tidegate.service tidegate.socket tidegate-gateway.socket
own run >/tmp/run 2>&1 &
for _ in $(seq 1 600); do fact invocation-started before && break; sleep 0.2; done
pkill -KILL -u tidegate -f '^tidegate run' || kill -KILL $!
systemctl start tidegate.socket tidegate-gateway.socket tidegate.service
holds "it is started with what a dead process left" until_is ActiveState active
holds "a step runs in its sandbox within the unit" until_fact node-ended inside
own runs logs latest inside >/tmp/inside 2>&1
grep -q '^42$' /tmp/inside && grep -q '^apart$' /tmp/inside && good "its tools work, and it sees nothing of the host" || { bad "the step"; cat /tmp/inside /tmp/run; facts | tail -3; }
facts | grep '"invocation-ended".*"node":"inside"' >/tmp/record
limits="cgroup-memory cgroup-pids cgroup-cpu"
[ "$(cat /given/way)" = machine ] || grep -qw memory /sys/fs/cgroup/cgroup.controllers || limits=""
for limit in $limits seccomp landlock user-namespace; do
  grep -o '"isolation":\[[^]]*' /tmp/record | grep -q "\"$limit\"" && good "$limit holds" || bad "$limit does not hold: $(grep -o '"isolation":[^]]*\|"unheld":[^]]*' /tmp/record | tr '\n' ' ')"
done

# A restart while clients ask and a step is under way.
holds "a step is under way" until_fact invocation-started long
( while [ ! -e /tmp/enough ]; do ask 7071/healthz; echo; done >/tmp/asked 2>&1 ) &
asking=$!
sleep 3
before="$(state MainPID)"
systemctl restart tidegate.service 2>/tmp/restart; tell "systemctl restart: exit $?, $(cat /tmp/restart)"
tell "right after: $(state ActiveState)/$(state SubState), $(state NRestarts) restarts by systemd, result $(state Result)"
holds "it is active again" until_is ActiveState active
[ "$(state MainPID)" != "$before" ] && good "it is another process" || bad "the same process"
[ "$(facts | grep -c '"invocation-started".*"node":"long"')" = 1 ] && good "the step under way was not begun again" || bad "the step under way"
tell "after the restart $(state NRestarts) restarts by systemd; the step under way has $(fact node-ended long && echo ended || echo not ended)"
holds "the run goes on to its end" until_fact node-ended after
facts | grep '"node":"long"' | grep '"node-ended"' | grep -q succeeded && good "the step under way has succeeded" || { bad "the step under way"; facts | grep '"long"'; }

# Killed, while clients ask.
before="$(state MainPID)"
systemctl kill --signal=KILL --kill-whom=main tidegate.service
for _ in $(seq 1 600); do [ "$(state MainPID)" != "$before" ] && [ "$(state ActiveState)" = active ] && break; sleep 0.5; done
[ "$(state MainPID)" != "$before" ] && [ "$(state ActiveState)" = active ] && good "a kill is followed by a new one" || bad "after a kill: $(state ActiveState)"
touch /tmp/enough; wait $asking
answered="$(grep -c '^200$' /tmp/asked)" lost="$(grep -vc '^200$' /tmp/asked)"
tell "$answered requests answered over a restart and a kill, $lost cut"
[ "$answered" -gt 0 ] && [ "$lost" -le 1 ] && good "nobody was refused" || { bad "requests"; sort /tmp/asked | uniq -c; }

# Settings that are wrong: it is tried again as long as they are, and who asks meanwhile waits.
echo 'nonsense: true' >/etc/tidegate/settings.yaml
systemctl restart tidegate.service 2>/dev/null
again() { for _ in $(seq 1 600); do [ "$(state NRestarts)" -ge 2 ] && [ "$(state ExecMainStatus)" = 2 ] && return 0; sleep 0.2; done; systemctl status tidegate.service; return 1; }
holds "with wrong settings it ends with 2, and is tried again" again
( ask 7071/healthz >/tmp/waited ) &
waits=$!
tried="$(state NRestarts)"
for _ in $(seq 1 600); do [ "$(state NRestarts)" -gt "$tried" ] && break; sleep 0.5; done
kill -0 "$waits" 2>/dev/null && [ "$(state ActiveState tidegate.socket)" = active ] && good "who asks meanwhile waits" || bad "it was turned away: $(cat /tmp/waited)"
: >/etc/tidegate/settings.yaml
wait "$waits"
[ "$(cat /tmp/waited)" = 200 ] && good "and is answered when they are right" || bad "it was answered $(cat /tmp/waited)"
holds "it is active again" until_is ActiveState active

# The end.
systemctl stop tidegate.service tidegate.socket tidegate-gateway.socket
[ "$(state Result)/$(state ExecMainStatus)" = success/0 ] && good "a stop is graceful" || bad "stop: $(state Result)/$(state ExecMainStatus)"
[ "$(ask 7071/healthz)" = 000 ] && good "the ports are closed" || bad "the ports are open"
left="$(pgrep -u tidegate -a)"
[ -z "$left" ] && good "nothing of it is left" || { bad "left:"; echo "$left"; }
find /sys/fs/cgroup -type d -name 'tidegate-[0-9]*' | grep . && bad "groups are left" || good "no group of a step is left"
tell "END"
STORY
chmod 755 "$boot/given/story"

# In namespaces of this machine: its kernel, and no control groups but the hierarchy itself. Nothing of it can reach anything else.
here() {
  local group=/sys/fs/cgroup/unified waiting init
  [[ "$(stat -fc %T "$group" 2>/dev/null)" == cgroup2fs ]] || group=/sys/fs/cgroup
  [[ "$(stat -fc %T "$group")" == cgroup2fs ]] || { say "missing: a hierarchy of control groups of version 2"; exit 2; }
  group="$group/tidegate-story-$$"
  mkdir "$group" "$scratch/over"
  cat >"$scratch/enter" <<ENTER
set -e
echo \$\$ > $group/cgroup.procs
exec unshare --cgroup sh -eu $scratch/inner
ENTER
  cat >"$scratch/inner" <<INNER
mount --make-rprivate /
mount -t tmpfs -o size=60% over $scratch/over
mkdir $scratch/over/up $scratch/over/work $scratch/over/root
mount -t overlay -o lowerdir=/,upperdir=$scratch/over/up,workdir=$scratch/over/work overlay $scratch/over/root
root=$scratch/over/root
mkdir -p \$root/given; cp -r $boot/given/. \$root/given
touch $scratch/said \$root/given/said; mount --bind $scratch/said \$root/given/said
sh $boot/prepare \$root env append:/given/said
mount -t proc proc \$root/proc
mount -t sysfs sys \$root/sys
mount -t cgroup2 cgroup2 \$root/sys/fs/cgroup
mount -t tmpfs -o mode=755 dev \$root/dev
for device in null zero full random urandom tty; do touch \$root/dev/\$device; mount --bind /dev/\$device \$root/dev/\$device; done
mkdir \$root/dev/pts \$root/dev/shm; mount -t devpts -o newinstance,ptmxmode=666,mode=620 pts \$root/dev/pts; ln -s pts/ptmx \$root/dev/ptmx
ln -s /proc/self/fd \$root/dev/fd; ln -s fd/0 \$root/dev/stdin; ln -s fd/1 \$root/dev/stdout; ln -s fd/2 \$root/dev/stderr
mount -t tmpfs -o mode=1777 shm \$root/dev/shm; mount -t tmpfs -o mode=755 run \$root/run; mount -t tmpfs -o mode=1777 tmp \$root/tmp
cd \$root; mkdir -p old; pivot_root . old; umount -l /old
exec env -i container=tidegate PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system </dev/null >/dev/null 2>&1
INNER
  # Its first process is the only one that has to be ended.
  unshare --mount --uts --ipc --net --pid --fork --kill-child sh "$scratch/enter" >"$scratch/booting" 2>&1 &
  init=$!
  for ((waiting = 0; waiting < LIMIT_SECONDS; waiting++)); do
    grep -qs 'SYSTEMD END' "$scratch/said" && break
    kill -0 "$init" 2>/dev/null || { cat "$scratch/booting"; break; }
    sleep 1
  done
  kill -KILL "$init" 2>/dev/null || true
  wait "$init" 2>/dev/null || true
  touch "$scratch/said"
  cat "$scratch/said"
  # What its end has killed takes a moment to be gone.
  for ((waiting = 0; waiting < 600; waiting++)); do
    find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    [[ -d "$group" ]] || break
    sleep 0.1
  done
}

machine() {
  (cd "$boot" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$scratch/initrd"
  say "booting $(basename "$folder")"
  timeout --kill-after=5 "$LIMIT_SECONDS" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m "$MEMORY_MB" -nodefaults -no-reboot -display none \
    -serial stdio -monitor none -net none \
    -kernel "$(echo "$folder"/boot/vmlinuz-*)" -initrd "$scratch/initrd" \
    -append "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off systemd.unit=story.target systemd.unified_cgroup_hierarchy=1 systemd.show_status=false" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap </dev/null 2>&1 | tee "$scratch/said" || true
}

"$WAY"

grep -q 'is process 1' "$scratch/said" || { say "systemd does not come up here: $(tail -1 "$scratch/booting" 2>/dev/null)"; exit 2; }
if grep -q 'SYSTEMD BAD' "$scratch/said" || ! grep -q 'SYSTEMD END' "$scratch/said"; then
  say "failed"
  exit 1
fi
say "all was well: $(grep -c 'SYSTEMD ok' "$scratch/said") promises kept"
